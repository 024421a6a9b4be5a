"""How well one measurement ranks what another one measures: pure statistics on arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Values = NDArray[np.float64]

CONFIDENCE = 0.95
RESAMPLES = 1_000


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


def spearman(x: Values, y: Values) -> Values:
    """Spearman's rank correlation along the last axis; 0 where one of the two ranks nothing."""
    a, b = (_centred(rankdata(each, axis=-1)) for each in (x, y))
    scale = np.sqrt((a**2).sum(-1) * (b**2).sum(-1))
    return np.divide((a * b).sum(-1), scale, out=np.zeros_like(scale), where=scale > 0.0)


def _centred(values: Values) -> Values:
    return values - values.mean(-1, keepdims=True)


def bootstrap(x: Values, y: Values, *, seed: int = 0, count: int = RESAMPLES) -> Estimate:
    """The rank correlation of pairs, with the interval that resampling the pairs gives it."""
    drawn = _resamples(len(x), seed, count)
    return _estimate(spearman(x, y), spearman(x[drawn], y[drawn]))


def advantage(
    better: Values, worse: Values, truth: Values, *, seed: int = 0, count: int = RESAMPLES
) -> Estimate:
    """By how much ``better`` ranks the truth better than ``worse`` does, on the same candidates."""
    drawn = _resamples(len(truth), seed, count)
    return _estimate(
        spearman(better, truth) - spearman(worse, truth),
        spearman(better[drawn], truth[drawn]) - spearman(worse[drawn], truth[drawn]),
    )


def _resamples(size: int, seed: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, size, size=(count, size))


def _estimate(value: Values, resampled: Values) -> Estimate:
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(resampled, [tail, 1.0 - tail])
    return Estimate(float(value), float(low), float(high))


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
    first, second = true + rng.normal(0.0, deviation, size=(2, count, len(true)))
    perfect, repeated = spearman(np.broadcast_to(true, first.shape), first), spearman(first, second)
    return Ceiling(float(np.mean(perfect)), float(np.mean(repeated)))
