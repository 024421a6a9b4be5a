"""Many evaluations at once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import tiny_training as tiny
import torch
from torch.optim.optimizer import Optimizer

from evoptim.config import Protocol, ScheduleSpec, TaskSpec
from evoptim.errors import InfrastructureError, InputError
from evoptim.optim.baselines import make_baseline
from evoptim.records import Outcome
from evoptim.training import Job, evaluate_many

PROTOCOL = tiny.protocol(task=TaskSpec(train=40, validation=20, test=20))


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    # Shared by the tests, since importing scikit-learn takes seconds.
    monkeypatch.setenv("EVOPTIM_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "pool-cache"))
    root = Path(__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(root), str(root / "tests")]))


def job(name: str, protocol: Protocol = PROTOCOL) -> Job:
    return Job(name, partial(make_baseline, name), protocol)


def suicidal(params: Any, lr: float, schedule: ScheduleSpec) -> Optimizer:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def forgetful(error: Exception, params: Any, lr: float, schedule: ScheduleSpec) -> Optimizer:
    raise error


def never_hungry(params: Any, lr: float, schedule: ScheduleSpec) -> Optimizer:
    return tiny.Scripted(list(params), lr, -1, tiny.poison)


def test_workers_do_not_change_a_bit() -> None:
    names = ["sgd", "adam", "momentum", "rmsprop"]
    jobs = [job(name) for name in names]
    alone = dict(evaluate_many(jobs, 1, device="cpu"))
    together = dict(evaluate_many(jobs, 2, device="cpu"))
    assert list(alone) == [0, 1, 2, 3]
    assert [alone[index].subject for index in range(4)] == names
    for index in range(4):
        assert alone[index].deterministic() == together[index].deterministic()


def test_no_job_is_no_work() -> None:
    assert list(evaluate_many([], 2)) == []


def test_a_killed_worker_is_named_and_ends_the_others() -> None:
    jobs = [job("sgd"), Job("the-culprit", suicidal, PROTOCOL), job("adam")]
    with pytest.raises(InfrastructureError, match=r"evaluated the-culprit died.*run again"):
        list(evaluate_many(jobs, 2, device="cpu"))
    assert multiprocessing.active_children() == []


def is_worker(process: psutil.Process) -> bool:
    try:
        return "spawn_main" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        # Killed since, and perhaps not yet waited for.
        return False


def hungry(params: Any, lr: float, schedule: ScheduleSpec) -> Optimizer:
    """Fits only where no other training runs at the same time."""
    weights = list(params)

    def exhausted(_: tiny.Scripted) -> None:
        # Workers that ran out of memory are gone; those that are left are our siblings.
        siblings = psutil.Process(os.getppid()).children()
        if sum(is_worker(each) for each in siblings) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB")

    return tiny.Scripted(weights, lr, 3, exhausted)


class TestMemory:
    """A GPU that is shared by too many trainings, in the middle of one."""

    @pytest.mark.parametrize("workers", [2, 3])
    def test_what_ran_out_of_it_is_trained_again_with_fewer_at_once(self, workers: int) -> None:
        jobs = [Job(f"hungry-{number}", hungry, PROTOCOL) for number in range(3)]
        found = dict(evaluate_many(jobs, workers, device="cpu"))
        assert sorted(found) == [0, 1, 2]
        for index, record in found.items():
            assert record.subject == f"hungry-{index}"
            assert record.outcome is Outcome.TRAINED
        assert multiprocessing.active_children() == []

    def test_a_second_try_changes_no_bit(self) -> None:
        jobs = [Job("hungry", hungry, PROTOCOL), Job("hungry", hungry, PROTOCOL)]
        first, second = dict(evaluate_many(jobs, 2, device="cpu")).values()
        (alone,) = evaluate_many([Job("hungry", never_hungry, PROTOCOL)], 1, device="cpu")
        assert first.deterministic() == second.deterministic() == alone[1].deterministic()

    @pytest.mark.parametrize("workers", [1, 2])
    @pytest.mark.parametrize("error", [MemoryError("no more"), torch.OutOfMemoryError("CUDA")])
    def test_alone_it_is_the_machines_fault_and_no_outcome(
        self, workers: int, error: Exception
    ) -> None:
        jobs = [job("sgd"), Job("the-culprit", partial(forgetful, error), PROTOCOL)]
        with pytest.raises(
            InfrastructureError, match=r"of the-culprit ran out of memory with no other beside it"
        ):
            list(evaluate_many(jobs, workers, device="cpu"))
        assert multiprocessing.active_children() == []


def test_wrong_input_stays_wrong_input() -> None:
    wrong = tiny.protocol(task=TaskSpec(train=5000))
    with pytest.raises(InputError, match="5000 training"):
        list(evaluate_many([job("sgd", wrong), job("adam", wrong)], 2, device="cpu"))


@pytest.mark.slow
def test_whoever_stops_listening_stops_the_workers() -> None:
    results = evaluate_many([job("sgd"), job("adam"), job("momentum")], 2, device="cpu")
    next(results)
    assert len(multiprocessing.active_children()) == 2
    results.close()  # type: ignore[attr-defined]
    assert multiprocessing.active_children() == []


ENDLESS = """
import os, sys, time
import test_training_pool as here

if __name__ == "__main__":
    schedule = here.ScheduleSpec(total_steps=10**8)
    training = here.tiny.training(epochs=10**6, schedule=schedule)
    protocol = here.PROTOCOL.model_copy(update={"training": training})
    jobs = [here.job("sgd", protocol), here.job("adam", protocol)]
    results = here.evaluate_many(jobs, 2, device="cpu")
    import threading, multiprocessing

    def tell():
        while len(multiprocessing.active_children()) < 2:
            time.sleep(0.05)
        print(*[child.pid for child in multiprocessing.active_children()], flush=True)

    threading.Thread(target=tell, daemon=True).start()
    list(results)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_its_parent(how: signal.Signals, tmp_path: Path) -> None:
    """Ctrl-C, or the death of the parent in the middle of long trainings."""
    script = tmp_path / "endless.py"
    script.write_text(ENDLESS)
    path = os.pathsep.join([os.environ["PYTHONPATH"], str(Path(__file__).parent)])
    with subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as parent:
        assert parent.stdout is not None
        workers = [int(word) for word in parent.stdout.readline().split()]
        assert len(workers) == 2
        parent.send_signal(how)
        parent.communicate()
        assert parent.returncode != 0
    until = time.monotonic() + 60
    while any(_alive(worker) for worker in workers) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(_alive(worker) for worker in workers)


def _alive(process: int) -> bool:
    try:
        # A zombie has no command line; it waits for whoever adopted it.
        return bool(Path(f"/proc/{process}/cmdline").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return False
