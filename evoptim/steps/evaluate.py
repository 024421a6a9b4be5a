"""The step that trains: one chunk of a stage's candidates."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from evoptim.config import Protocol, ScheduleSpec
from evoptim.errors import InputError
from evoptim.genome import Genome
from evoptim.records import Candidate, Evaluation
from evoptim.steps.parts import read_chunk
from evoptim.steps.reading import read_config, stage_protocol
from evoptim.store import MissingObjectError, Stage, Store, load, open_store, save
from evoptim.store.layout import evaluation_key, shared_evaluation_key
from evoptim.store.many import read_many

if TYPE_CHECKING:
    # Every step imports this module, and few of them train.
    from torch import Tensor
    from torch.optim import Optimizer

    from evoptim.training import MakeOptimizer

WORKERS_VARIABLE = "EVOPTIM_WORKERS"
"""Environment variable: trainings at a time within one step. It changes no result."""


def evaluate(store: str, run: str, generation: int, chunk: int, candidates_per_task: int) -> None:
    """Train the candidates of one chunk of ``generation`` that have no evaluation yet.

    Raises:
        InputError: the run, the generation or the chunk is unknown, or the data have changed.
        InfrastructureError: the machine failed; what is evaluated already is kept.
    """
    _evaluate(open_store(store), run, Stage.generation(generation), chunk, candidates_per_task)


def evaluate_baselines(store: str, run: str, chunk: int, candidates_per_task: int) -> None:
    """Train the baselines of one chunk that have no evaluation yet; raises as :func:`evaluate`."""
    _evaluate(open_store(store), run, Stage.baselines(), chunk, candidates_per_task)


def _evaluate(store: Store, run: str, stage: Stage, chunk: int, size: int) -> None:
    config = read_config(store, run)
    protocol = stage_protocol(config, stage)
    mine = read_chunk(store, run, config, stage, chunk, size)
    there = read_many(lambda each: _reuse(store, run, stage, each, protocol), mine)
    missing = [each for each, found in zip(mine, there, strict=True) if not found]
    if missing:
        _train(store, run, stage, missing, protocol)


def _train(
    store: Store, run: str, stage: Stage, missing: Sequence[Candidate], protocol: Protocol
) -> None:
    from evoptim.training import Job, evaluate_many

    jobs = [Job(each.id, _optimizer(each), protocol) for each in missing]
    # The next one trains while a record is on its way; a kill loses that record at most.
    with ThreadPoolExecutor(1) as writer:
        under_way: Future[None] | None = None
        for place, evaluation in evaluate_many(jobs, _workers()):
            if under_way is not None:
                under_way.result()
            candidate = missing[place]
            under_way = writer.submit(_keep, store, run, stage, candidate, protocol, evaluation)
            print(
                f"{stage} {candidate.index}: {evaluation.outcome.value}, "
                f"fitness {evaluation.fitness}, {candidate.formula}",
                flush=True,
            )
        if under_way is not None:
            under_way.result()


def _keep(
    store: Store,
    run: str,
    stage: Stage,
    candidate: Candidate,
    protocol: Protocol,
    evaluation: Evaluation,
) -> None:
    # The shared object comes first: whoever finds the run's finds the shared one too.
    shared = shared_evaluation_key(candidate.id, protocol.content_id())
    if save(store, shared, evaluation):
        save(store, evaluation_key(run, stage, candidate.index), evaluation)
    else:
        # Another run was faster, and its record is the one that all runs share.
        _reuse(store, run, stage, candidate, protocol)


def _reuse(store: Store, run: str, stage: Stage, candidate: Candidate, protocol: Protocol) -> bool:
    """Give the run the evaluation that the store holds already, from whichever run."""
    key = evaluation_key(run, stage, candidate.index)
    if store.exists(key):
        return True
    try:
        found = load(store, shared_evaluation_key(candidate.id, protocol.content_id()), Evaluation)
    except MissingObjectError:
        return False
    save(store, key, found)
    return True


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

    return EvolvedOptimizer(
        params,
        Genome.from_json(gene),
        lr=lr,
        total_steps=schedule.total_steps,
        warmup_steps=schedule.warmup_steps,
        hold_steps=schedule.hold_steps,
    )


def _workers() -> int:
    text = os.environ.get(WORKERS_VARIABLE, "1")
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"{WORKERS_VARIABLE} is a whole number of at least 1, got {text!r}")
    return int(text)
