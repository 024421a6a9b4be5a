"""Two optimizers under the same seeds: a seed fixes network, order of images and augmentation.

So the seeds are pairs, and what they share cancels in the difference.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate
from statistics import fmean, stdev, variance

from evoptim.analysis.noise import ROUNDING, Interval, mean_interval
from evoptim.config import Value

SIGNIFICANCE = 0.05
"""A corrected p-value below this is called a difference."""


class Difference(Value):
    """One optimizer's accuracy minus another's, over seeds that both were trained under.

    Where there is one seed, or all seeds differ by the same, nothing is known of the noise, and all
    but the mean is None.
    """

    mean: float
    """A fraction."""
    interval: Interval | None
    """Student's paired interval of the mean, not corrected for the number of comparisons."""
    effect: float | None
    """Cohen's d: the mean difference over the two optimizers' pooled deviation over seeds."""
    p_value: float | None
    """Of Student's paired test, two-sided, not corrected."""


def paired_difference(ours: Sequence[float], theirs: Sequence[float]) -> Difference:
    """Compare two optimizers seed by seed.

    Args:
        ours: accuracy under each seed, a fraction.
        theirs: likewise, under the same seeds in the same order.
    """
    differences = [one - other for one, other in zip(ours, theirs, strict=True)]
    mean, interval = fmean(differences), mean_interval(differences)
    if interval is None:
        return Difference(mean=mean, interval=None, effect=None, p_value=None)
    from scipy.special import stdtr

    degrees = len(differences) - 1
    t = mean / (stdev(differences) / math.sqrt(len(differences)))
    pooled = math.sqrt((variance(ours) + variance(theirs)) / 2)
    return Difference(
        mean=mean,
        interval=interval,
        effect=mean / pooled if pooled > ROUNDING else None,
        p_value=min(1.0, 2 * float(stdtr(degrees, -abs(t)))),
    )


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down correction (1979): the family's chance of any false alarm stays bounded.

    Those that are None take no part and stay None.
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    scaled = (min(1.0, (len(known) - rank) * p) for rank, (p, _) in enumerate(known))
    corrected: list[float | None] = [None] * len(p_values)
    for (_, place), value in zip(known, accumulate(scaled, max), strict=True):
        corrected[place] = value
    return corrected


def rank_ranges(by_seed: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """The places that each optimizer may have, given the noise; 1 is the best.

    All pairs are tested, with Holm's correction over all of them. An optimizer comes after those
    that are better beyond the noise and before those that are worse; among the others it may have
    any place, so that ties show as ranges which overlap.

    Args:
        by_seed: the accuracies of each optimizer under the same seeds.
    """
    pairs = list(_pairs(len(by_seed)))
    found = [paired_difference(by_seed[one], by_seed[other]) for one, other in pairs]
    above = [0] * len(by_seed)
    below = [0] * len(by_seed)
    for (one, other), difference, p in zip(
        pairs, found, holm([each.p_value for each in found]), strict=True
    ):
        if p is None or p >= SIGNIFICANCE:
            continue
        better, worse = (one, other) if difference.mean > 0 else (other, one)
        above[worse] += 1
        below[better] += 1
    count = len(by_seed)
    return [(1 + more, count - less) for more, less in zip(above, below, strict=True)]


def _pairs(count: int) -> Iterator[tuple[int, int]]:
    return ((one, other) for one in range(count) for other in range(one + 1, count))


def least_p_value(seeds: int) -> float:
    """The least two-sided p that a paired test can give which takes nothing for granted.

    If two optimizers are alike, either is ahead under each seed with chance 1/2.
    """
    return min(1.0, 2.0 ** (1 - seeds))
