"""A compiled pipeline run on this machine by ``kfp.local``, in a process group of its own.

The engine patches ``print``, reconfigures logging and starts one process a task, so it gets a
process that it can keep: :mod:`pipelines.local_engine`. The caller holds a :class:`LocalRun`.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

from evoptim.errors import EvoptimError, InfrastructureError, InputError
from pipelines.containers import Sandbox, remove_containers
from pipelines.local_failure import failure_from_log
from pipelines.threads import ONE_THREAD

# kfp hands a task all its inputs as one command-line argument, which Linux limits to 128 KiB.
# The task's output paths share it.
_LARGEST_ARGUMENTS = 120 * 1024


class LocalRun:
    """A pipeline at work in the background. Leaving its ``with`` block stops it.

    The processes of a run end with this process, whichever way it ends.
    """

    def __init__(
        self,
        engine: "subprocess.Popen[bytes]",
        lifeline: int,
        work: Path,
        failure: Callable[[int], EvoptimError],
        clean_up: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._lifeline = lifeline
        self._work = work
        self._failure = failure
        self._clean_up = clean_up
        self._closed = False
        self._stopped = False

    def poll(self) -> int | None:
        """Return None while the pipeline runs, then its exit status: 0 for success."""
        status = self._engine.poll()
        if status is not None:
            self._close()
        return status

    def wait(self) -> None:
        """Wait for the end.

        Raises:
            InputError: a step refused what the user gave; the message is the step's.
            InfrastructureError: anything else failed; the message names the task and its error.
        """
        self._engine.wait()
        status = self._engine.returncode
        self._close()
        if status == 0:
            return
        if self._stopped:
            raise InfrastructureError("The run was stopped before its end.")
        raise self._failure(status)

    def stop(self, grace: float = 2.0) -> None:
        """End every process of the run: ask, and after ``grace`` seconds insist."""
        if self.poll() is None:
            self._stopped = True
            self._signal(signal.SIGTERM)
            deadline = time.monotonic() + grace
            while time.monotonic() < deadline and self._group_lives():
                time.sleep(0.02)
            self._signal(signal.SIGKILL)
            self._engine.wait()
        self._close()

    def __enter__(self) -> "LocalRun":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _group_lives(self) -> bool:
        self._engine.poll()
        return self._signal(0)

    def _signal(self, number: int) -> bool:
        try:
            os.killpg(self._engine.pid, number)
        except (ProcessLookupError, PermissionError):
            # macOS answers "not permitted" for a group in which only zombies are left.
            return False
        return True

    def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        # An engine that was killed leaves its tasks behind.
        self._signal(signal.SIGKILL)
        os.close(self._lifeline)
        shutil.rmtree(self._work, ignore_errors=True)
        self._clean_up()


def run_local(
    ir: str,
    arguments: Mapping[str, Any],
    log_path: Path,
    environment: Mapping[str, str] = MappingProxyType({}),
    sandbox: Sandbox | None = None,
) -> LocalRun:
    """Start a compiled pipeline on this machine and return at once.

    Tasks run with this interpreter, in this working folder and with this environment, or each in a
    container; one thread each. What they leave in KFP's own output folder is deleted at the end;
    their results are in the store.

    Args:
        ir: pipeline IR, such as :func:`pipelines.compile_search` returns.
        arguments: the pipeline's parameters, by name.
        log_path: file to which the engine's and all tasks' output is appended.
        environment: variables that tasks find beside those of this process or of the sandbox.
        sandbox: run every task in a container that sees this; None for a process.

    Raises:
        InputError: the arguments are larger than a task can be given.
    """
    size = len(json.dumps(arguments))
    if size > _LARGEST_ARGUMENTS:
        raise InputError(
            f"The arguments of a pipeline may be {_LARGEST_ARGUMENTS} bytes of JSON, got {size}. "
            "Shorten the longest of them, usually the configuration."
        )
    log_path.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="evoptim-"))
    read_end, write_end = os.pipe()
    try:
        (work / "tmp").mkdir()
        (work / "pipeline.yaml").write_text(ir, encoding="utf-8")
        (work / "arguments.json").write_text(json.dumps(arguments), encoding="utf-8")
        _write_interpreter(work / "bin")
        if sandbox is not None:
            _write_sandbox(work / "sandbox.json", sandbox, environment)
        with log_path.open("ab") as log:
            start = log.tell()
            engine = subprocess.Popen(
                [
                    *(sys.executable, "-m", "pipelines.local_engine"),
                    *(str(work), str(read_end), str(os.getpid())),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[read_end],
                start_new_session=True,
                env=_environment(work, environment),
            )
            return LocalRun(
                engine,
                write_end,
                work,
                failure=partial(_failure, ir, log_path, start),
                # The engine's death ends its processes, but no container.
                clean_up=partial(remove_containers, work.name) if sandbox else lambda: None,
            )
    except BaseException:
        os.close(write_end)
        shutil.rmtree(work, ignore_errors=True)
        raise
    finally:
        os.close(read_end)


def _write_sandbox(path: Path, sandbox: Sandbox, environment: Mapping[str, str]) -> None:
    variables = {**sandbox.environment, **ONE_THREAD, **environment}
    text = json.dumps(asdict(replace(sandbox, environment=variables)))
    path.write_text(text, encoding="utf-8")


def _failure(ir: str, log_path: Path, start: int, status: int) -> EvoptimError:
    with log_path.open("rb") as log:
        log.seek(start)
        text = log.read().decode("utf-8", errors="replace")
    return failure_from_log(text, ir, status, log_path)


def _write_interpreter(folder: Path) -> None:
    """Make a ``python3`` that is this interpreter, wherever and under whatever name it lives."""
    folder.mkdir()
    program = folder / "python3"
    # Not a link: a virtual environment is found from the path that the interpreter is called by.
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n', encoding="utf-8")
    program.chmod(0o755)


def _environment(work: Path, more: Mapping[str, str]) -> dict[str, str]:
    inherited = {**os.environ, **more}
    python_path = [inherited["PYTHONPATH"]] if inherited.get("PYTHONPATH") else []
    source = Path(__file__).resolve().parent.parent
    # An installed distribution is found anyway, and site-packages ahead of the standard library
    # would let an old backport there replace a standard module.
    if source not in {Path(sysconfig.get_path(kind)).resolve() for kind in ("purelib", "platlib")}:
        python_path.append(str(source))
    return {
        **inherited,
        **ONE_THREAD,
        "PATH": os.pathsep.join([str(work / "bin"), inherited.get("PATH", os.defpath)]),
        "PYTHONPATH": os.pathsep.join(python_path),
        # kfp starts modules with -m: without this a json.py in the user's folder would be ours.
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        # The engine decodes what tasks print, and would fail on a byte that is not UTF-8.
        "PYTHONUTF8": "1",
        "PYTHONIOENCODING": "utf-8:backslashreplace",
        # kfp makes a temporary folder a task and deletes none.
        "TMPDIR": str(work / "tmp"),
    }
