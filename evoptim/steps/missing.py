"""What is still to be evaluated: the store's answer, whatever an engine says of its tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from evoptim.records import Candidate
from evoptim.steps.ahead import Ahead
from evoptim.steps.chunks import chunk_numbers, chunk_with
from evoptim.steps.reading import planned_in, read_candidates, read_config
from evoptim.steps.waiting import is_proposed
from evoptim.store import Stage, Store, open_store
from evoptim.store.layout import evaluation_key


@dataclass(frozen=True)
class Missing:
    """The chunks of a stage that lack an evaluation."""

    chunks: tuple[int, ...]
    """Their numbers, ascending."""
    total: int
    """Chunks of the stage."""
    candidates: int
    """Candidates without an evaluation; a duplicate needs none."""


def missing_chunks(
    store: str, run: str, stage: Stage, candidates_per_task: int, ahead: Ahead | None = None
) -> Missing:
    """The chunks of a stage in which at least one candidate has no evaluation.

    Args:
        store: URL of the store.
        run: Name of the run.
        stage: Which one.
        candidates_per_task: Size of a chunk.
        ahead: What was read of the stage before.

    Raises:
        InputError: the run or its stage is unknown, or ``candidates_per_task`` is below 1.
    """
    opened = open_store(store)
    candidates = (ahead and ahead.candidates) or read_candidates(opened, run, stage).candidates
    total = len(chunk_numbers(len(candidates), candidates_per_task))
    missing = unevaluated(opened, run, stage, candidates)
    chunks = {chunk_with(each.index, len(candidates), candidates_per_task) for each in missing}
    return Missing(tuple(sorted(chunks)), total, len(missing))


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


def unevaluated(
    store: Store, run: str, stage: Stage, candidates: Sequence[Candidate]
) -> list[Candidate]:
    """Those of some candidates of a stage, in order, that have no evaluation, and need one."""
    # A duplicate takes its twin's evaluation when it is read (evoptim.steps.twins).
    needed = {
        evaluation_key(run, stage, each.index): each for each in candidates if each.same_as is None
    }
    if len(needed) == 1:
        return [each for key, each in needed.items() if not store.exists(key)]
    # One listing costs less than asking for every object; what all keys begin with keeps it short.
    there = set(store.list(_common_start(list(needed)))) if needed else set()
    return [each for key, each in needed.items() if key not in there]


def _common_start(texts: Sequence[str]) -> str:
    first, last = min(texts), max(texts)
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return "".join(letter for letter, _ in alike)
