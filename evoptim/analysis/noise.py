"""How far a measured accuracy can be trusted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import NormalDist, fmean, variance

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


class Spread(Value):
    """How much the accuracy of one optimizer varies from one training seed to another."""

    deviation: float
    """Standard deviation over seeds, as a fraction."""
    degrees: int
    """Degrees of freedom behind it."""


def pooled_spread(groups: Iterable[Sequence[float]]) -> Spread | None:
    """The common standard deviation within groups, as in an analysis of variance.

    Two or three seeds say next to nothing about the spread of one optimizer; those of all
    optimizers that are compared say enough, if their spreads are alike.

    Args:
        groups: for each optimizer, its accuracy under each seed.

    Returns:
        None if no optimizer was trained twice.
    """
    repeated = [group for group in groups if len(group) > 1]
    degrees = sum(len(group) - 1 for group in repeated)
    if degrees == 0:
        return None
    squares = math.fsum(variance(group) * (len(group) - 1) for group in repeated)
    return Spread(deviation=math.sqrt(squares / degrees), degrees=degrees)


def accuracy_interval(
    accuracies: Sequence[float], images: int, spread: Spread | None = None
) -> Interval:
    """The interval of the mean accuracy of trainings under different seeds.

    Wilson's score interval (1927) covers the choice of images. It does not shrink with the number
    of seeds, which share their images. Student's interval of the mean over the seeds is added in
    quadrature.

    Args:
        accuracies: one for each seed, as fractions; at least one.
        images: how many images each was measured on.
        spread: the spread over seeds; None leaves it out.
    """
    mean = fmean(accuracies)
    wilson = _wilson(mean, images)
    if spread is None:
        return wilson
    # No step but the report needs it.
    from scipy.special import stdtrit

    t = float(stdtrit(spread.degrees, 0.5 + CONFIDENCE / 2))
    between_seeds = t * spread.deviation / math.sqrt(len(accuracies))
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
