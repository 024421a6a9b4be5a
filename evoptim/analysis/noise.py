"""How far a measured accuracy can be trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev

from evoptim.config import Value

CONFIDENCE = 0.95

# Accuracies are fractions: what differs by less than this differs by rounding.
ROUNDING = 1e-9


class Interval(Value):
    """A two-sided 95 % confidence interval of a mean, as fractions."""

    low: float
    high: float

    @property
    def half(self) -> float:
        """Half of its width."""
        return (self.high - self.low) / 2


def standard_error(accuracy: float, images: int) -> float:
    """Binomial standard error of an accuracy measured on ``images`` images, as a fraction."""
    return math.sqrt(accuracy * (1.0 - accuracy) / images)


def mean_interval(values: Sequence[float]) -> Interval | None:
    """Student's interval of the mean over seeds.

    Args:
        values: one for each seed, as fractions.

    Returns:
        None for a single seed, and where all seeds agree: then nothing is known of the noise.
    """
    if len(values) < 2:
        return None
    deviation = stdev(values)
    if deviation < ROUNDING:
        return None
    # No step but the report needs it.
    from scipy.special import stdtrit

    mean = fmean(values)
    t = float(stdtrit(len(values) - 1, 0.5 + CONFIDENCE / 2))
    half = t * deviation / math.sqrt(len(values))
    return Interval(low=mean - half, high=mean + half)
