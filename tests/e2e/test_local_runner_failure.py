"""The one line that a reader gets of a failed local run, from logs as the engine writes them."""

from pathlib import Path

import pytest

from evoptim.errors import InfrastructureError, InputError
from pipelines import compile_search
from pipelines.local_failure import failure_from_log

LOG = Path("run.log")
IR = compile_search(generations=2)


def started(task):
    return f"00:16:40.565 - INFO - Executing task \x1b[96m'{task}'\x1b[0m\n"


def ended(task, status="SUCCESS"):
    return (
        f"00:16:40.565 - INFO - Task \x1b[96m'{task}'\x1b[0m finished with status "
        f"\x1b[91m{status}\x1b[0m\n"
    )


def raised(line):
    return f'    Traceback (most recent call last):\n      File "steps.py", line 3\n    {line}\n'


def finally_failed(*stack):
    chain = " inside ".join(f"\x1b[96m'{name}'\x1b[0m" for name in stack)
    return (
        "RuntimeError: Pipeline \x1b[95m'evoptim-search'\x1b[0m finished with status "
        f"\x1b[91mFAILURE\x1b[0m. Inner task failed: {chain}.\n"
    )


def failure(log, status=1):
    return failure_from_log(log, IR, status, LOG)


LOOP = ("evaluate", "for-loop-1-iteration-4", "generation-3")


@pytest.mark.parametrize(
    ("log", "kind", "message"),
    [
        pytest.param(
            started("initialise")
            + raised("evoptim.errors.InputError: The run exists: 'a'. Choose another name.")
            + ended("initialise", "FAILURE")
            + finally_failed("initialise"),
            InputError,
            "The run exists: 'a'. Choose another name.",
            id="what the user gave is refused in the step's own words",
        ),
        pytest.param(
            started("evaluate")
            + raised("evoptim.errors.InfrastructureError: The store is gone.")
            + ended("evaluate", "FAILURE")
            + finally_failed(*LOOP),
            InfrastructureError,
            "Task 'generation 2, candidate-chunks 4, train candidates' failed: "
            "The store is gone. (log: run.log)",
            id="a broken store is told in the step's own words",
        ),
        pytest.param(
            started("evaluate")
            + started("evaluate")
            + raised("botocore.exceptions.ClientError: Access Denied")
            + started("select")
            + ended("evaluate", "FAILURE")
            + raised("OSError: a later task fails too")
            + ended("evaluate", "FAILURE")
            + finally_failed("evaluate", *LOOP),
            InfrastructureError,
            "Task 'generation 2, candidate-chunks 4, train candidates' failed: "
            "botocore.exceptions.ClientError: Access Denied (log: run.log)",
            id="of several failures the first is told",
        ),
        pytest.param(
            started("propose")
            + raised("ValueError: caught, and only logged")
            + ended("propose")
            + started("evaluate")
            + "Killed\n"
            + ended("evaluate", "FAILURE")
            + finally_failed(*LOOP),
            InfrastructureError,
            "Task 'generation 2, candidate-chunks 4, train candidates' failed: "
            "killed by a signal, perhaps for lack of memory (log: run.log)",
            id="what an earlier task printed is not the cause",
        ),
        pytest.param(
            started("select") + ended("select", "FAILURE") + finally_failed("select", "generation"),
            InfrastructureError,
            "Task 'generation 0, select survivors' failed: it ended without a message "
            "(log: run.log)",
            id="a task that ended in silence is named",
        ),
        pytest.param(
            started("select")
            + ended("select", "FAILURE")
            + finally_failed("select", "generation", "propose-finals", "finals"),
            InfrastructureError,
            "Task 'generation 0, select survivors' failed: it ended without a message "
            "(log: run.log)",
            id="the first of two failed branches is named",
        ),
        pytest.param(
            raised("OSError: [Errno 28] No space left on device"),
            InfrastructureError,
            "The local pipeline engine failed: OSError: [Errno 28] No space left on device "
            "(log: run.log)",
            id="an engine that fails itself is no task's fault",
        ),
        pytest.param(
            "",
            InfrastructureError,
            "The local pipeline engine failed: it ended without a message (log: run.log)",
            id="an empty log",
        ),
    ],
)
def test_a_failure_is_told_in_one_line(log, kind, message):
    error = failure(log)
    assert (type(error), str(error)) == (kind, message)


def test_the_signal_that_ended_the_engine_is_told():
    assert "ended by signal 9. Run the same command again" in str(failure("", status=-9))


def test_a_class_that_does_not_exist_is_not_an_input_error():
    log = raised("evoptim.nowhere.InputError: no such module")
    assert type(failure(log)) is InfrastructureError
