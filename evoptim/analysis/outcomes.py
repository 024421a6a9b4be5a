"""How the evaluations of a run ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from evoptim.analysis.stage import StageResult, by_generation, evolved
from evoptim.config import Value
from evoptim.records import Outcome


class OutcomeCount(Value):
    """One way to end, and how many evaluations ended so."""

    outcome: Outcome
    count: int
    cause: str
    remedy: str


@dataclass(frozen=True)
class GenerationOutcomes:
    """The evaluations of one generation by outcome; outcomes that did not occur are absent."""

    generation: int
    counts: dict[Outcome, int]


def count_outcomes(stages: Iterable[StageResult]) -> tuple[OutcomeCount, ...]:
    """The outcomes that occurred among the genomes, in the order of the enumeration.

    Evaluations are counted, so a particle that two protocols scored counts twice; the finals are
    left out.
    """
    counts = _count(one.outcome for one in evolved(stages))
    return tuple(
        OutcomeCount(outcome=outcome, count=count, cause=outcome.cause, remedy=outcome.remedy)
        for outcome, count in counts.items()
    )


def outcomes_by_generation(stages: Iterable[StageResult]) -> tuple[GenerationOutcomes, ...]:
    """The same for each generation, in order."""
    return tuple(
        GenerationOutcomes(generation, _count(one.outcome for one in here))
        for generation, here in by_generation(stages).items()
    )


def _count(outcomes: Iterable[Outcome]) -> dict[Outcome, int]:
    counts = Counter(outcomes)
    return {outcome: counts[outcome] for outcome in Outcome if outcome in counts}
