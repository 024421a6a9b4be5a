"""The step that trains: one chunk of a stage's candidates."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from evoptim.config import Protocol, RunConfig, ScheduleSpec, Screens
from evoptim.errors import InputError
from evoptim.genome import Genome
from evoptim.records import Candidate, Candidates, Evaluation, Outcome
from evoptim.steps.chunks import runs_of
from evoptim.steps.images import load_shared
from evoptim.steps.missing import unevaluated
from evoptim.steps.parts import keys_of, part_count, read_chunk, read_numbers
from evoptim.steps.reading import planned_in, read_config, stage_protocol, stage_screens
from evoptim.steps.screens import prepare, screen_of
from evoptim.steps.waiting import is_proposed, wait_for_candidates
from evoptim.store import MissingObjectError, Stage, Store, load, open_store, save
from evoptim.store.layout import evaluation_key, shared_evaluation_key
from evoptim.store.many import read_many

if TYPE_CHECKING:
    # Every step imports this module, and few of them train.
    from torch import Tensor
    from torch.optim import Optimizer

    from evoptim.training import MakeOptimizer, Screen

WORKERS_VARIABLE = "EVOPTIM_WORKERS"
"""Environment variable: trainings at a time within one step. It changes no result."""
_ON_A_GPU = 4
"""Trainings at a time on a GPU, which one of them leaves idle most of the time; on a CPU 1."""


def evaluate(
    store: str,
    run: str,
    generation: int,
    chunk: int,
    candidates_per_task: int,
    *,
    wait: bool = False,
) -> None:
    """Train the candidates of one chunk of ``generation`` that have no evaluation yet.

    Args:
        store: URL of the store.
        run: Name of the run.
        generation: Its number.
        chunk: Number of the chunk.
        candidates_per_task: Size of a chunk.
        wait: Whether the candidates may still be on their way: then what training takes is loaded
            meanwhile.

    Raises:
        InputError: the run, the generation or the chunk is unknown, or the data have changed.
        InfrastructureError: the machine failed, or the candidates did not come; what is evaluated
            already is kept.
    """
    opened, stage = open_store(store), Stage.generation(generation)
    if wait and not is_proposed(opened, run, stage):
        _evaluate_as_they_come(opened, run, stage, chunk, candidates_per_task)
    else:
        _evaluate(opened, run, stage, chunk, candidates_per_task)


def _evaluate_as_they_come(store: Store, run: str, stage: Stage, chunk: int, size: int) -> None:
    """Begin with the candidates that are there."""
    config = read_config(store, run)
    planned = planned_in(config, stage)
    runs: list[Sequence[int]] = [each for each in runs_of(planned, chunk, size) if each]
    _warm_up(store, config, stage)
    # Processes that train side by side would have to start twice.
    if part_count(planned) == 0 or _workers() > 1:
        runs = [[number for each in runs for number in each]]
    for numbers in runs:
        keys = keys_of(run, config, stage, numbers)
        wait_for_candidates(store, keys, f"chunk {chunk} of {stage} of the run {run!r}")
        if part_count(planned):
            _evaluate_these(store, run, config, stage, read_numbers(store, run, stage, numbers))
        else:
            _evaluate(store, run, stage, chunk, size)


def _warm_up(store: Store, config: RunConfig, stage: Stage) -> None:
    """Load the libraries, and bring the images into the cache."""
    # Imported for what importing it takes: torch, above all.
    import evoptim.optim
    import evoptim.training  # noqa: F401

    load_shared(store, stage_protocol(config, stage).task)
    prepare(config.screens)


def evaluate_finals(store: str, run: str, chunk: int, candidates_per_task: int) -> None:
    """Train the finalists and baselines of one chunk; otherwise as :func:`evaluate`."""
    _evaluate(open_store(store), run, Stage.finals(), chunk, candidates_per_task)


def _evaluate(store: Store, run: str, stage: Stage, chunk: int, size: int) -> None:
    config = read_config(store, run)
    mine = read_chunk(store, run, config, stage, chunk, size)
    _evaluate_these(store, run, config, stage, mine)


def _evaluate_these(
    store: Store, run: str, config: RunConfig, stage: Stage, mine: Candidates
) -> None:
    protocol = stage_protocol(config, stage)
    screens = stage_screens(config, stage)
    asked = read_many(
        lambda each: _left(store, run, stage, each, protocol, screens, mine.bars),
        unevaluated(store, run, stage, mine.candidates),
    )
    left = [each for each in asked if each is not None]
    if any(each.screen is not None for each in left):
        prepare(screens)
    if left:
        _train(store, run, stage, left, protocol)


@dataclass(frozen=True)
class _Left:
    """What is left to do for a candidate."""

    candidate: Candidate
    screen: Screen | None
    known: Evaluation | None
    """As another run has it: then only the screens are asked."""
    bars: tuple[float, ...]
    """Below which its training is hopeless."""


def _train(store: Store, run: str, stage: Stage, left: Sequence[_Left], protocol: Protocol) -> None:
    from evoptim.training import Job, evaluate_many

    if protocol.task.data is not None and any(each.known is None for each in left):
        # Whoever trains finds them in the cache.
        load_shared(store, protocol.task)
    jobs = [
        Job(
            each.candidate.id,
            _optimizer(each.candidate),
            protocol,
            each.screen,
            each.known,
            each.bars,
        )
        for each in left
    ]
    # The next one trains while a record is on its way; a kill loses that record at most.
    with ThreadPoolExecutor(1) as writer:
        under_way: Future[None] | None = None
        for place, evaluation in evaluate_many(jobs, _workers()):
            if under_way is not None:
                under_way.result()
            candidate = left[place].candidate
            under_way = writer.submit(_keep, store, run, stage, candidate, protocol, evaluation)
            print(
                f"{stage} {candidate.index}: {evaluation.outcome.value}, "
                f"fitness {evaluation.fitness}, {candidate.formula}",
                flush=True,
            )
        if under_way is not None:
            under_way.result()


def _left(
    store: Store,
    run: str,
    stage: Stage,
    candidate: Candidate,
    protocol: Protocol,
    screens: Screens,
    bars: tuple[float, ...],
) -> _Left | None:
    """What is left to do for a candidate; None where another run's evaluation is all it needs.

    Its screens are asked even if another run has trained it: whether it is refused or stopped must
    depend on the run's configuration alone, not on what else is in the store.
    """
    key = evaluation_key(run, stage, candidate.index)
    known = _shared(store, candidate, protocol)
    screen = screen_of(candidate, screens)
    if bars and known is not None and known.outcome is Outcome.ERRORED:
        # The record does not say how far it had come, and whether it would have been stopped there.
        known = None
    if known is None or screen is not None or bars:
        return _Left(candidate, screen, known, bars)
    save(store, key, known)
    return None


def _shared(store: Store, candidate: Candidate, protocol: Protocol) -> Evaluation | None:
    """The evaluation that the store holds already, from whichever run."""
    key = shared_evaluation_key(candidate.id, protocol.content_id())
    try:
        return load(store, key, Evaluation)
    except MissingObjectError:
        return None


def _keep(
    store: Store,
    run: str,
    stage: Stage,
    candidate: Candidate,
    protocol: Protocol,
    evaluation: Evaluation,
) -> None:
    # What a screen ended is this run's own: others may have no such screen.
    if not evaluation.outcome.by_screen:
        evaluation = _share(store, candidate, protocol, evaluation)
    save(store, evaluation_key(run, stage, candidate.index), evaluation)


def _share(
    store: Store, candidate: Candidate, protocol: Protocol, evaluation: Evaluation
) -> Evaluation:
    """Let other runs have it, or take theirs: the record that all runs share."""
    shared = shared_evaluation_key(candidate.id, protocol.content_id())
    if save(store, shared, _with_screening(evaluation, 0.0)):
        return evaluation
    return _with_screening(load(store, shared, Evaluation), evaluation.cost.screening)


def _with_screening(evaluation: Evaluation, seconds: float) -> Evaluation:
    cost = evaluation.cost.model_copy(update={"screening": seconds})
    return evaluation.model_copy(update={"cost": cost})


def _optimizer(candidate: Candidate) -> MakeOptimizer:
    if candidate.gene is None:
        from evoptim.optim.baselines import make_baseline

        return partial(make_baseline, candidate.id)
    return partial(make_evolved, candidate.gene)


def make_evolved(
    gene: Mapping[str, Any], params: Iterable[Tensor], lr: float, schedule: ScheduleSpec
) -> Optimizer:
    """The optimizer of a candidate, for one training."""
    from evoptim.optim import EvolvedOptimizer

    weights = list(params)
    return EvolvedOptimizer(
        weights,
        Genome.from_json(gene),
        lr=lr,
        # Lets a whole step become a CUDA graph.
        capturable=all(weight.is_cuda for weight in weights),
        total_steps=schedule.total_steps,
        warmup_steps=schedule.warmup_steps,
        hold_steps=schedule.hold_steps,
    )


def _workers() -> int:
    text = os.environ.get(WORKERS_VARIABLE)
    if text is None:
        import torch

        return _ON_A_GPU if torch.cuda.is_available() else 1
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"{WORKERS_VARIABLE} is a whole number of at least 1, got {text!r}")
    return int(text)
