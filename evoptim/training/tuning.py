"""Tuning: full trainings choose the rate, beside the sweep's choice.

A climb: the rates on either side of the best so far are tried until both are worse, one grid step
away at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import fmean

from evoptim.config import Tuning
from evoptim.records import Outcome, TunedRate
from evoptim.training.fault import CandidateError
from evoptim.training.full import train_fully
from evoptim.training.meter import Meter
from evoptim.training.setting import Setting


@dataclass(frozen=True)
class Tuned:
    """How tuning ended."""

    tried: tuple[TunedRate, ...]
    """In the order in which they were tried."""
    rate: float | None
    """The best of them; the sweep's choice where the protocol has no tuning."""
    outcome: Outcome | None = None
    """How the candidate failed."""
    message: str | None = None
    """What the optimizer raised."""


def tune(setting: Setting, spec: Tuning, swept: float, meter: Meter) -> Tuned:
    """Train fully, under the seeds of ``spec``, at the rates that :func:`climb` tries.

    Args:
        setting: what all trainings share.
        spec: which rates, under which seeds.
        swept: the sweep's choice.
        meter: counts the steps.
    """
    try:
        tried = climb(spec, swept, partial(_train, setting, spec, meter))
    except CandidateError as fault:
        return Tuned((), swept, Outcome.ERRORED, str(fault))
    if meter.expired:
        return Tuned(tried, swept, Outcome.TIMED_OUT)
    return Tuned(tried, max(tried, key=_score).rate)


def climb(
    spec: Tuning, swept: float, try_rate: Callable[[float], TunedRate]
) -> tuple[TunedRate, ...]:
    """Try ``swept``, then the neighbours of the best so far, the higher one first.

    Of equally good rates the first one that was tried is the best.

    Returns:
        What was tried, in that order: at least ``swept``, at most ``spec.rates``.
    """
    tried: dict[int, TunedRate] = {}
    best = 0
    while len(tried) < spec.rates:
        untried = [place for place in (best, best + 1, best - 1) if place not in tried]
        if not untried:
            break
        tried[untried[0]] = try_rate(_rate(spec, swept, untried[0]))
        best = max(tried, key=lambda place: _score(tried[place]))
    return tuple(tried.values())


def _rate(spec: Tuning, swept: float, place: int) -> float:
    # Three digits, so that it can be written down.
    return float(f"{swept * 10 ** (place / spec.per_decade):.3g}") if place else swept


def _score(rate: TunedRate) -> float:
    known = [each for each in rate.accuracies if each is not None]
    # A seed that leaves no fitness would leave the candidate none.
    return fmean(known) if len(known) == len(rate.accuracies) else -1.0


def _train(setting: Setting, spec: Tuning, meter: Meter, rate: float) -> TunedRate:
    began = meter.steps
    trainings = [train_fully(setting, rate, seed, meter, test=False) for seed in spec.seeds]
    best = [None if each.best_epoch is None else each.curve[each.best_epoch] for each in trainings]
    return TunedRate(
        rate=rate,
        accuracies=tuple(None if each is None else each.validation_accuracy for each in best),
        steps=meter.steps - began,
    )
