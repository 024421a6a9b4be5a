"""What the screens of a run took, and what they saved."""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import fmean

from evoptim.analysis.stage import StageResult, evolved
from evoptim.config import Value
from evoptim.records import Outcome


class Screening(Value):
    """The candidates that screens judged; an evaluation that two generations share counts once."""

    refused: int
    """Genomes that were not trained."""
    seconds: float
    """Core-seconds that the screens took, for refused genomes and others."""
    failure_seconds: float | None
    """Mean time that a genome took that was trained and failed; None where there is none."""

    @property
    def saved_seconds(self) -> float | None:
        """An estimate: what the refused genomes would have taken, had they failed like the others.

        The time of the screens is taken off.
        """
        if self.failure_seconds is None:
            return None
        return self.refused * self.failure_seconds - self.seconds


NO_SCREENING = Screening(refused=0, seconds=0.0, failure_seconds=None)
"""Of a run without screens."""


def screening(stages: Iterable[StageResult]) -> Screening:
    """Add up what the screens of a run did."""
    scores = {
        (one.candidate.id, one.protocol): one.score
        for one in evolved(stages)
        if one.score is not None
    }.values()
    failures = [
        each.seconds
        for each in scores
        if each.outcome.failed and each.outcome is not Outcome.REFUSED
    ]
    return Screening(
        refused=sum(each.outcome is Outcome.REFUSED for each in scores),
        seconds=math.fsum(each.screening for each in scores),
        failure_seconds=fmean(failures) if failures else None,
    )
