"""The process in which ``kfp.local`` runs a pipeline: started by :mod:`pipelines.local` only."""

import builtins
import json
import logging
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import types
from pathlib import Path
from typing import Any

from kfp import components, local

from pipelines.containers import Sandbox, kfp_runner


class _BuiltinsWithOwnPrint(types.ModuleType):
    """Builtins whose ``print`` cannot be replaced.

    While tasks run in parallel, kfp 2.17 replaces ``print`` by an indenting one and restores it in
    the wrong order. One more indenting ``print`` stays after every loop, each doubling the work
    and the spaces of the one below: after twenty generations a line would be megabytes long.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "print":
            super().__setattr__(name, value)


def _end_with(parent: int, lifeline: int, work: Path, interpreter: str) -> None:
    """Kill this process and all its tasks as soon as the parent is gone."""
    # The pipe closes the moment that the parent dies, unless a process that it forked holds a
    # copy; the parent's number then tells, a second later.
    while os.getppid() == parent and not select.select([lifeline], [], [], 1.0)[0]:
        pass
    contained = (work / "sandbox.json").exists()
    shutil.rmtree(work, ignore_errors=True)
    if contained:
        # In a session of its own it outlives this group, whose containers nobody else removes.
        subprocess.Popen(
            [interpreter, "-m", "pipelines.containers", work.name], start_new_session=True
        )
    os.killpg(0, signal.SIGKILL)


def _runner(work: Path) -> "local.SubprocessRunner | local.DockerRunner":
    sandbox = work / "sandbox.json"
    if not sandbox.exists():
        return local.SubprocessRunner(use_venv=False)
    return kfp_runner(Sandbox(**json.loads(sandbox.read_text(encoding="utf-8"))), work.name)


def main(work: Path, lifeline: int, parent: int) -> None:
    """Run ``work/pipeline.yaml`` with ``work/arguments.json``; raise if a task fails.

    Tasks run in containers where there is a ``work/sandbox.json``, else in processes.
    """
    os.set_inheritable(lifeline, False)
    ending = (parent, lifeline, work, sys.executable)
    threading.Thread(target=_end_with, args=ending, daemon=True).start()
    builtins.__class__ = _BuiltinsWithOwnPrint
    # kfp gives the root logger a handler for each task and takes it away again, another task's
    # too: this one keeps the lines that would be lost.
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(levelname)s - %(message)s")
    # kfp replaces the text "python3" by this name in a task's whole command, inputs included, and
    # leaves it unquoted. Replaced by itself it changes nothing; PATH says which python3 that is.
    sys.executable = "python3"
    outputs, workspace = work / "outputs", work / "workspace"
    for folder in (outputs, workspace):
        folder.mkdir()
        # A container's user may be another one; the folder above lets nobody else in.
        folder.chmod(0o777)
    local.init(runner=_runner(work), pipeline_root=str(outputs), workspace_root=str(workspace))
    pipeline = components.load_component_from_file(str(work / "pipeline.yaml"))
    pipeline(**json.loads((work / "arguments.json").read_text(encoding="utf-8")))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
