"""What a search took: evaluations, optimizer steps and core time."""

from __future__ import annotations

import math
from collections.abc import Iterable

from evoptim.analysis.stage import StageResult
from evoptim.config import Value
from evoptim.records import Score


class SearchCost(Value):
    """The cost of all evaluations of a run, the finals included, each counted once."""

    evaluations: int
    """Different (subject, protocol) pairs with a record."""
    missing: int
    """Candidates without a record."""
    steps: int
    """Optimizer steps of all probes and trainings together."""
    core_seconds: float
    """Time that evaluations took when they were computed, one core (or device) each; that of the
    run's screens is included."""
    devices: tuple[str, ...]
    """Where they were computed, sorted."""
    reused: int | None
    """How many of them were found in the store rather than computed by this run."""


def search_cost(stages: Iterable[StageResult], reused: int | None = None) -> SearchCost:
    """Add up what a run's evaluations took.

    Args:
        stages: the run's stages, in any order.
        reused: how many evaluations were found in the store; None if that is not known.
    """
    once: dict[tuple[str, str], Score] = {}
    missing = 0
    for stage in stages:
        for scored in stage:
            if scored.score is None:
                missing += 1
            else:
                once[scored.candidate.id, scored.protocol] = scored.score
    records = once.values()
    return SearchCost(
        evaluations=len(once),
        missing=missing,
        steps=sum(record.steps for record in records),
        core_seconds=math.fsum(record.seconds + record.screening for record in records),
        devices=tuple(sorted({record.device for record in records})),
        reused=reused,
    )
