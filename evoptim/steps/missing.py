"""What is still to be evaluated: the store's answer, whatever an engine says of its tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evoptim.records import Candidate
from evoptim.steps.chunks import chunk_numbers
from evoptim.steps.reading import planned_in, read_candidates, read_config
from evoptim.steps.waiting import is_proposed
from evoptim.store import Stage, Store, open_store
from evoptim.store.layout import evaluation_key, evaluations_prefix


@dataclass(frozen=True)
class Missing:
    """The chunks of a stage that lack an evaluation."""

    chunks: tuple[int, ...]
    """Their numbers, ascending."""
    total: int
    """Chunks of the stage."""
    candidates: int
    """Candidates without an evaluation; a duplicate needs none."""


def missing_chunks(store: str, run: str, stage: Stage, candidates_per_task: int) -> Missing:
    """The chunks of a stage in which at least one candidate has no evaluation.

    Raises:
        InputError: the run or its stage is unknown, or ``candidates_per_task`` is below 1.
    """
    opened = open_store(store)
    candidates = read_candidates(opened, run, stage).candidates
    total = len(chunk_numbers(len(candidates), candidates_per_task))
    missing = unevaluated(opened, run, stage, candidates)
    chunks = sorted({place // candidates_per_task for place in missing})
    return Missing(tuple(chunks), total, len(missing))


def chunks_to_propose(
    store: str, run: str, stage: Stage, candidates_per_task: int
) -> Missing | None:
    """The chunks that a stage will have, by the run's configuration; None where it is proposed.

    Raises:
        InputError: the run is unknown, or ``candidates_per_task`` is below 1.
    """
    opened = open_store(store)
    if is_proposed(opened, run, stage):
        return None
    candidates = planned_in(read_config(opened, run), stage)
    chunks = tuple(chunk_numbers(candidates, candidates_per_task))
    return Missing(chunks, len(chunks), candidates)


def unevaluated(store: Store, run: str, stage: Stage, candidates: Sequence[Candidate]) -> list[int]:
    """The places of those of a stage's candidates that have no evaluation, and need one."""
    there = set(store.list(evaluations_prefix(run, stage)))
    return [
        place
        for place, each in enumerate(candidates)
        if each.same_as is None and evaluation_key(run, stage, each.index) not in there
    ]
