"""How far a measured accuracy can be trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev

from scipy.special import stdtrit

from evoptim.config import Value

CONFIDENCE = 0.95
"""Two disjoint 95% intervals differ at about p = 0.006, so the claim survives a Bonferroni
correction for up to eight baselines."""


class Interval(Value):
    """A two-sided confidence interval of an accuracy, as fractions."""

    low: float
    high: float

    def above(self, other: Interval) -> bool:
        """Whether all of it lies above all of the other."""
        return self.low > other.high


def standard_error(accuracy: float, images: int) -> float:
    """Binomial standard error of an accuracy measured on ``images`` images, as a fraction."""
    return math.sqrt(accuracy * (1.0 - accuracy) / images)


def accuracy_interval(accuracies: Sequence[float], images: int) -> Interval:
    """The interval of the mean accuracy of trainings under different seeds.

    One training: Wilson's score interval (1927), which covers the choice of images only. Several:
    Student's interval of the mean over the seeds is added in quadrature. The seeds share their
    images, so that the first part does not shrink with their number.

    Args:
        accuracies: one for each seed, as fractions; at least one.
        images: how many images each was measured on.
    """
    mean = fmean(accuracies)
    wilson = _wilson(mean, images)
    seeds = len(accuracies)
    if seeds == 1:
        return wilson
    t = float(stdtrit(seeds - 1, 0.5 + CONFIDENCE / 2))
    between_seeds = t * stdev(accuracies) / math.sqrt(seeds)
    return Interval(
        low=max(0.0, mean - math.hypot(mean - wilson.low, between_seeds)),
        high=min(1.0, mean + math.hypot(wilson.high - mean, between_seeds)),
    )


def _wilson(accuracy: float, images: int) -> Interval:
    z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    weight = 1.0 + z * z / images
    centre = (accuracy + z * z / (2 * images)) / weight
    half = (
        z / weight * math.sqrt(accuracy * (1.0 - accuracy) / images + z * z / (4 * images * images))
    )
    # At 0 and 1 the bound equals the accuracy, up to rounding that may carry it past.
    return Interval(
        low=max(0.0, min(centre - half, accuracy)), high=min(1.0, max(centre + half, accuracy))
    )
