"""How well one measurement ranks what another one measures: pure statistics on arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Values = NDArray[np.float64]
Statistic = Callable[[Values, Values], float]

CONFIDENCE = 0.95
RESAMPLES = 2_000


@dataclass(frozen=True)
class Estimate:
    """A statistic with its bootstrap interval (percentiles, 95 %)."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:5.2f} ({self.low:5.2f} to {self.high:5.2f})"


def ranks(scores: Sequence[float | None]) -> Values:
    """Ranks from 0 (worst) to 1 (best); equal scores share theirs; None is worse than any score."""
    filled = np.array([-np.inf if score is None else score for score in scores], dtype=np.float64)
    if np.isnan(filled).any():
        raise ValueError("a score is not a number: say None for one that there is not")
    return (rankdata(filled) - 0.5) / len(filled)


def mean_rank(*columns: Sequence[float | None]) -> Values:
    """The mean of the ranks that several measurements give to the same candidates."""
    return np.mean([ranks(column) for column in columns], axis=0)


def spearman(x: Values, y: Values) -> float:
    """Spearman's rank correlation; 0 where one of the two ranks nothing."""
    a, b = rankdata(x), rankdata(y)
    if np.ptp(a) == 0.0 or np.ptp(b) == 0.0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def bootstrap(
    x: Values, y: Values, *, statistic: Statistic = spearman, seed: int = 0, count: int = RESAMPLES
) -> Estimate:
    """``statistic`` of pairs, with the interval that resampling the pairs gives it."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(x), size=(count, len(x)))
    values = [statistic(x[chosen], y[chosen]) for chosen in drawn]
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(values, [tail, 1.0 - tail])
    return Estimate(statistic(x, y), float(low), float(high))


def advantage(
    better: Values, worse: Values, truth: Values, *, seed: int = 0, count: int = RESAMPLES
) -> Estimate:
    """By how much ``better`` ranks the truth better than ``worse`` does, on the same candidates."""
    both = np.stack([better, worse], axis=1)

    def difference(pair: Values, truth: Values) -> float:
        return spearman(pair[:, 0], truth) - spearman(pair[:, 1], truth)

    return bootstrap(both, truth, statistic=difference, seed=seed, count=count)


def pooled_deviation(groups: Sequence[Sequence[float]]) -> float:
    """The standard deviation within groups of repeated measurements.

    Raises:
        ValueError: nothing was measured twice.
    """
    repeated = [np.asarray(group) for group in groups if len(group) > 1]
    degrees = sum(len(group) - 1 for group in repeated)
    if degrees == 0:
        raise ValueError("nothing was measured twice, so that there is no noise to estimate")
    return float(np.sqrt(sum(((group - group.mean()) ** 2).sum() for group in repeated) / degrees))


@dataclass(frozen=True)
class Ceiling:
    """What noise in the truth leaves to any ranking."""

    perfect: float
    """Rank correlation of a ranking without an error with one noisy measurement."""
    repeated: float
    """Rank correlation of two noisy measurements of the same candidates."""


def ceiling(measured: Values, deviation: float, *, seed: int = 0, count: int = 200) -> Ceiling:
    """Simulate noise of ``deviation`` on values as spread as ``measured`` would be without it.

    The bulk's spread is taken from its quartiles, and shrunk about the median by what noise adds.
    """
    rng = np.random.default_rng(seed)
    lower, median, upper = np.quantile(measured, [0.25, 0.5, 0.75])
    observed = ((upper - lower) / 1.349) ** 2
    share = max(0.0, 1.0 - deviation**2 / observed)
    true = median + np.sqrt(share) * (measured - median)
    perfect, repeated = [], []
    for _ in range(count):
        first, second = true + rng.normal(0.0, deviation, size=(2, len(true)))
        perfect.append(spearman(true, first))
        repeated.append(spearman(first, second))
    return Ceiling(float(np.mean(perfect)), float(np.mean(repeated)))
