"""Many evaluations at once: one process a core, one thread a process.

Processes are started afresh (not forked): torch does not survive a fork once it has threads. They
share nothing, so that the results have the same bits as without a pool.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

import torch

from evoptim.config import Protocol, TaskSpec
from evoptim.errors import InfrastructureError
from evoptim.orphan import end_with_parent
from evoptim.records import Cost, Evaluation, Outcome
from evoptim.tasks import Split, load_task
from evoptim.training.evaluate import evaluate, versions
from evoptim.training.fault import lacks_memory
from evoptim.training.hopeless import with_bars
from evoptim.training.setting import Device, MakeOptimizer


@dataclass(frozen=True)
class Screened:
    """What a screen says of a candidate."""

    passes: bool
    message: str
    """The measurement behind the verdict, in words."""
    seconds: float
    """Core-seconds that it took."""


Screen = Callable[[], Screened]
"""Judges one candidate. Like ``make_optimizer`` it is sent to another process."""


@dataclass(frozen=True)
class Job:
    """One evaluation."""

    subject: str
    """Content id of a genome, or name of a baseline."""
    make_optimizer: MakeOptimizer
    """A function at the top of a module, or a ``functools.partial`` of one: it is sent to another
    process."""
    protocol: Protocol
    screen: Screen | None = None
    """What is asked first; whom it refuses is not trained."""
    known: Evaluation | None = None
    """The evaluation, where it was made before, without bars: then only the screens are asked."""
    bars: tuple[float, ...] = ()
    """What its training has to reach by the end of each epoch, or be stopped as hopeless."""


def evaluate_many(
    jobs: Sequence[Job], workers: int, *, device: Device = "auto"
) -> Iterator[tuple[int, Evaluation]]:
    """Evaluate all jobs, and give each result as soon as it is there.

    With several workers, a script that calls this needs the usual
    ``if __name__ == "__main__":``, because every worker imports it.

    Whoever runs out of memory beside others is set aside: its worker ends, and the job is done by
    those that are left. Memory is the machine's matter, never an outcome: the record of a candidate
    must not depend on where it was trained.

    Args:
        jobs: what to evaluate.
        workers: processes at a time, best as many as there are cores. One works in this process.
        device: as for :func:`evaluate`.

    Yields:
        Index of the job, and its record. If the caller stops listening, or is interrupted, all
        workers are stopped.

    Raises:
        InputError: the images of a task cannot be used.
        InfrastructureError: a worker died (killed, say) or could not go on; or an evaluation ran
            out of memory with nothing beside it. Before that it is tried again with fewer at once.
    """
    if workers < 1:
        raise ValueError(f"at least one worker is needed, got {workers}")
    if workers == 1 or len(jobs) < 2:
        splits = _Splits()
        for index, job in enumerate(jobs):
            yield index, _alone(job, splits, device)
        return
    # Whatever is wrong with the images shows here, once; the workers find them decoded.
    for task in {job.protocol.task: None for job in jobs if job.known is None}:
        load_task(task)
    yield from _in_processes(jobs, min(workers, len(jobs)), device)


class _Splits:
    """The images of the last task, which is mostly the next one too."""

    def __init__(self) -> None:
        self._last: tuple[TaskSpec, Split] | None = None

    def of(self, task: TaskSpec) -> Split:
        if self._last is None or self._last[0] != task:
            self._last = (task, load_task(task))
        return self._last[1]


def _alone(job: Job, splits: _Splits, device: Device) -> Evaluation:
    try:
        return _run(job, splits, device)
    except Exception as error:
        if not lacks_memory(error):
            raise
        raise _no_memory(job.subject, _in_words(error)) from error


def _no_memory(subject: str, message: str) -> InfrastructureError:
    return InfrastructureError(
        f"the evaluation of {subject} ran out of memory with no other beside it: give it a machine "
        f"or a GPU with more, or a smaller batch_size or base_width ({message})"
    )


def _in_words(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]


def _run(job: Job, splits: _Splits, device: Device) -> Evaluation:
    if job.screen is None:
        return _evaluation(job, splits, device)
    screened = job.screen()
    if not screened.passes:
        return _refusal(job, screened)
    trained = _evaluation(job, splits, device)
    cost = trained.cost.model_copy(update={"screening": screened.seconds})
    return trained.model_copy(update={"cost": cost})


def _evaluation(job: Job, splits: _Splits, device: Device) -> Evaluation:
    if job.known is not None:
        return with_bars(job.known, job.protocol.training, job.bars)
    split = splits.of(job.protocol.task)
    return evaluate(
        job.subject, job.make_optimizer, job.protocol, split, device=device, bars=job.bars
    )


def _refusal(job: Job, screened: Screened) -> Evaluation:
    return Evaluation(
        subject=job.subject,
        protocol=job.protocol.content_id(),
        outcome=Outcome.REFUSED,
        fitness=None,
        validation_loss=None,
        test_accuracy=None,
        rate=None,
        probes=(),
        trainings=(),
        steps=0,
        message=screened.message,
        versions=versions(),
        cost=Cost(seconds=0.0, device="cpu", screening=screened.seconds),
    )


@dataclass(frozen=True)
class _NoMemory:
    """What a worker answers that ran out of memory."""

    message: str


@dataclass(frozen=True)
class _Worker:
    process: BaseProcess
    pipe: Connection


def _in_processes(
    jobs: Sequence[Job], count: int, device: Device
) -> Iterator[tuple[int, Evaluation]]:
    workers: list[_Worker] = []
    try:
        for _ in range(count):
            workers.append(_start(device))
        waiting = deque(enumerate(jobs))
        busy: dict[Connection, tuple[int, Job]] = {}
        # Whose job had another beside it, be it for a moment.
        crowded: set[Connection] = set()
        idle = [worker.pipe for worker in workers]
        while waiting or busy:
            while waiting and idle:
                busy[pipe := idle.pop()] = waiting.popleft()
                _send(pipe, busy[pipe][1])
            if len(busy) > 1:
                crowded.update(busy)
            ready = set(wait(list(busy)))
            for pipe in [pipe for pipe in busy if pipe in ready]:
                index, job = busy.pop(pipe)
                result = _receive(pipe, job.subject)
                if isinstance(result, Evaluation):
                    yield index, result
                elif len(workers) == 1 and pipe not in crowded:
                    raise _no_memory(job.subject, result.message)
                else:
                    waiting.append((index, job))
                crowded.discard(pipe)
                if isinstance(result, _NoMemory) and len(workers) > 1:
                    _retire(pipe, workers)
                else:
                    idle.append(pipe)
    finally:
        for worker in workers:
            worker.pipe.close()
            worker.process.kill()
        for worker in workers:
            worker.process.join()


def _retire(pipe: Connection, workers: list[_Worker]) -> None:
    """End a worker, which frees all of its memory."""
    (worker,) = (each for each in workers if each.pipe is pipe)
    workers.remove(worker)
    worker.pipe.close()
    worker.process.kill()
    worker.process.join()


def _start(device: Device) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, device), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _send(pipe: Connection, job: Job) -> None:
    # If the worker is dead, receiving from it says so, with the job's name.
    with suppress(BrokenPipeError, ConnectionResetError):
        pipe.send(job)


def _receive(pipe: Connection, subject: str) -> Evaluation | _NoMemory:
    try:
        result = pipe.recv()
    except (EOFError, ConnectionResetError) as error:
        raise InfrastructureError(
            f"the worker that evaluated {subject} died, perhaps for lack of memory; run again, "
            "with fewer workers if it repeats"
        ) from error
    if isinstance(result, Evaluation | _NoMemory):
        return result
    raise InfrastructureError(f"the evaluation of {subject} could not go on: {result}")


def _serve(pipe: Connection, device: Device) -> None:
    """A worker's life: one job after the other until the parent hangs up."""
    # Ctrl-C reaches all processes of a terminal; the parent alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    splits = _Splits()
    while True:
        try:
            job = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            result: Evaluation | _NoMemory | str = _run(job, splits, device)
        except Exception as error:
            words = _in_words(error)
            result = _NoMemory(words) if lacks_memory(error) else words
            # What torch keeps for later would be missing elsewhere.
            torch.cuda.empty_cache()
        pipe.send(result)
