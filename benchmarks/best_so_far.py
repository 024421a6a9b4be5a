"""Searches as curves of what they had found after so many steps: pure statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Curves = NDArray[np.float64]
"""Quality, a row for each seed and a column for each checkpoint."""

CONFIDENCE = 0.95
RESAMPLES = 10_000


@dataclass(frozen=True)
class Found:
    """One evaluation of a search, in the order in which the search paid for it."""

    subject: str
    steps: float
    """What it cost, in optimizer steps."""
    merit: tuple[float, float] | None
    """Smaller is better; None if it failed."""


def incumbents(search: Iterable[Found], checkpoints: Sequence[float]) -> list[str | None]:
    """The best subject that was found and paid for at each checkpoint, in steps; None before any.

    Checkpoints ascend. Of equal ones the first found stays.
    """
    held: list[str | None] = []
    best: str | None = None
    best_merit: tuple[float, float] | None = None
    spent = 0.0
    left = list(checkpoints)
    for each in search:
        spent += each.steps
        while left and left[0] < spent:
            held.append(best)
            left.pop(0)
        if each.merit is not None and (best_merit is None or each.merit < best_merit):
            best, best_merit = each.subject, each.merit
    return held + [best] * len(left)


def after_finals(
    search: Sequence[Found],
    checkpoints: Sequence[float],
    finalists: int,
    enter: Callable[[str], tuple[float, float | None]],
) -> list[str | None]:
    """The champion at each checkpoint where finals are paid from the same steps.

    The search ends as late as the steps for its finals allow; while they are too few for any, its
    own best is named.

    Args:
        search: What it evaluated, in order.
        checkpoints: In steps, ascending.
        finalists: How many enter: the best by the search's own merit.
        enter: A subject's steps in the finals, and its fitness there.
    """
    named: list[str | None] = []
    for checkpoint, own in zip(checkpoints, incumbents(search, checkpoints), strict=True):
        spent = np.cumsum([each.steps for each in search])
        champion = own
        for length in range(int(np.searchsorted(spent, checkpoint, side="right")), 0, -1):
            best = _best(search[:length], finalists)
            met = {each: enter(each) for each in best}
            if best and spent[length - 1] + sum(steps for steps, _ in met.values()) <= checkpoint:
                champion = max(best, key=lambda each: met[each][1] or -1.0)
                break
        named.append(champion)
    return named


def _best(search: Sequence[Found], count: int) -> list[str]:
    """Different subjects by their merit."""
    ranked = sorted(
        ((each.merit, each.subject) for each in search if each.merit is not None),
        key=lambda pair: pair[0],
    )
    return list(dict.fromkeys(subject for _, subject in ranked))[:count]


def share_needed(ours: NDArray[np.float64], bar: float, shares: Sequence[float]) -> float:
    """The first share of the budget at which a curve reaches ``bar``, linear between checkpoints.

    Infinite if it never does.
    """
    reached = np.flatnonzero(ours >= bar)
    if len(reached) == 0:
        return float("inf")
    first = int(reached[0])
    if first == 0:
        return float(shares[0])
    low, high = ours[first - 1], ours[first]
    part = (bar - low) / (high - low)
    return float(shares[first - 1] + part * (shares[first] - shares[first - 1]))


@dataclass(frozen=True)
class Speed:
    """What share of the budget one arm needs for the quality that another has at its end."""

    share: float
    low: float
    high: float
    """Of the 95 % bootstrap interval over seeds; infinite where it was not reached."""
    chance_of_half: float
    """Share of resamples in which at most half of the budget was needed."""


def speed(
    ours: Curves, theirs: Curves, shares: Sequence[float], *, count: int = RESAMPLES
) -> Speed:
    """Compare means over seeds; seeds are resampled together, since they share first candidates.

    Raises:
        ValueError: the two were not run under the same number of seeds.
    """
    if ours.shape != theirs.shape:
        raise ValueError(f"the arms differ in seeds or checkpoints: {ours.shape}, {theirs.shape}")
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(ours), size=(count, len(ours)))
    needed = np.array(
        [
            share_needed(ours[chosen].mean(axis=0), theirs[chosen, -1].mean(), shares)
            for chosen in drawn
        ]
    )
    low, high = np.quantile(needed, _tails(), method="nearest")
    return Speed(
        share_needed(ours.mean(axis=0), float(theirs[:, -1].mean()), shares),
        float(low),
        float(high),
        float((needed <= 0.5).mean()),
    )


@dataclass(frozen=True)
class Gain:
    """A mean over seeds with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


def mean_interval(values: NDArray[np.float64], *, count: int = RESAMPLES) -> Gain:
    """The mean of one value for each seed."""
    rng = np.random.default_rng(0)
    drawn = values[rng.integers(0, len(values), size=(count, len(values)))].mean(axis=1)
    low, high = np.quantile(drawn, _tails())
    return Gain(float(values.mean()), float(low), float(high))


def _tails() -> tuple[float, float]:
    tail = (1.0 - CONFIDENCE) / 2.0
    return tail, 1.0 - tail
