"""What went wrong in a local run, in one line, read from the log that ``kfp.local`` leaves."""

import importlib
import re
from pathlib import Path
from typing import Any

import yaml

from evoptim.errors import EvoptimError, InfrastructureError, InputError

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_STARTED = re.compile(r"Executing task '([^']+)'$")
_ENDED = re.compile(r"Task '([^']+)' finished with status (SUCCESS|FAILURE)$")
_CHAIN = re.compile(r"finished with status FAILURE\. Inner task failed: (.*)\.$")
# The last line of a traceback: a dotted class name at the start of the line.
_RAISED = re.compile(r"^\s*((?:[A-Za-z_]\w*\.)*[A-Z]\w*): (.*\S)\s*$")
# What sh says of a command that a signal ended.
_SIGNALLED = re.compile(r"^\s*(Killed|Terminated|Segmentation fault|Bus error|Aborted)\b")
_ITERATION = re.compile(r"^(.*)-iteration-(\d+)$")


def failure_from_log(log: str, ir: str, status: int, log_path: Path) -> EvoptimError:
    """Return the error of a run that did not succeed.

    The first task that failed tells why: later ones fail for the same reason or are skipped.

    Args:
        log: what this run wrote to its log.
        ir: the pipeline's IR, which names its tasks for a reader.
        status: the engine's exit status; negative for a signal.
        log_path: where a reader finds the rest.
    """
    if status < 0:
        return InfrastructureError(
            f"The local pipeline engine was ended by signal {-status}. "
            f"Run the same command again to continue (log: {log_path})."
        )
    lines = [_COLOUR.sub("", line) for line in log.splitlines()]
    chains = [found.group(1) for line in lines if (found := _CHAIN.search(line))]
    task = _readable(re.findall(r"'([^']+)'", chains[-1]), yaml.safe_load(ir)) if chains else ""
    where = f"Task '{task}' failed" if task else "The local pipeline engine failed"
    output = _output_of_first_failure(lines) if chains else lines
    for line in reversed(output):
        if found := _SIGNALLED.match(line):
            error = f"{found.group(1).lower()} by a signal, perhaps for lack of memory"
            break
        if found := _RAISED.match(line):
            name, message = found.groups()
            if _is_input_error(name):
                return InputError(message)
            error = message if name.startswith("evoptim.") else f"{name}: {message}"
            break
    else:
        error = "it ended without a message"
    return InfrastructureError(f"{where}: {error} (log: {log_path})")


def _output_of_first_failure(lines: list[str]) -> list[str]:
    """Return the lines from the start of the task that failed first to its end.

    Two tasks of a loop write at once, and may share a name: the earliest that is still running
    bounds the search.
    """
    running: dict[str, list[int]] = {}
    for number, line in enumerate(lines):
        if started := _STARTED.search(line):
            running.setdefault(started.group(1), []).append(number)
        elif ended := _ENDED.search(line):
            starts = running.get(ended.group(1)) or [0]
            if ended.group(2) == "FAILURE":
                return lines[starts[0] : number]
            del starts[0]
    return lines


def _readable(stack: list[str], ir: dict[str, Any]) -> str:
    """Name a task by the display names on the way to it: ``generation 1, select survivors``.

    Args:
        stack: kfp's names, innermost first. The tasks of a loop, and after a root task further
            failures, are in the same list.
        ir: the parsed pipeline IR.
    """
    dag = ir["root"]["dag"]
    ends = [number for number, name in enumerate(stack) if name in dag["tasks"]]
    names: list[str] = []
    for name in reversed(stack[: ends[0] + 1] if ends else stack):
        iteration = _ITERATION.match(name)
        task = dag.get("tasks", {}).get(iteration.group(1) if iteration else name)
        if task is None:
            continue
        display = task.get("taskInfo", {}).get("name", name)
        names.append(f"{display} {iteration.group(2)}" if iteration else display)
        dag = ir["components"][task["componentRef"]["name"]].get("dag", {})
    return ", ".join(names) or stack[0]


def _is_input_error(name: str) -> bool:
    """Tell whether a class of ours, named as a traceback names it, is an ``InputError``."""
    module, _, attribute = name.rpartition(".")
    if not module.startswith("evoptim."):
        return False
    try:
        kind = getattr(importlib.import_module(module), attribute, None)
    except ImportError:
        return False
    return isinstance(kind, type) and issubclass(kind, InputError)
