"""The LR sweep: a short training at every rate chooses the rate, or fails the candidate.

Source: Morgan & Hougen, arXiv 2404.06679, and the authors' program.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from evoptim.config import Sweep
from evoptim.records import Outcome, Probe
from evoptim.training.fault import CandidateError
from evoptim.training.meter import Meter
from evoptim.training.probe import Start, Tried, run_probe, start_probe
from evoptim.training.race import race
from evoptim.training.setting import Setting


@dataclass(frozen=True)
class Swept:
    """How a sweep ended."""

    probes: tuple[Probe, ...]
    """The rates that were tried, in order."""
    rate: float | None
    """The chosen rate; None if the candidate failed."""
    outcome: Outcome | None = None
    """How it failed."""
    message: str | None = None
    """What the optimizer raised."""


def sweep(setting: Setting, meter: Meter) -> Swept:
    """Train a fresh network, always the same one, at every rate that :func:`choose_rate` tries."""
    return choose_rate(setting.protocol.sweep, partial(start_probe, setting, meter))


def choose_rate(spec: Sweep, start: Start) -> Swept:
    """Try the rates, in turn or in a race, and take that of the best score.

    If all scores of the first group miss ``give_up_accuracy``, no other rate is tried. In the end
    the best score must reach ``minimum_accuracy``; the first of equal ones wins.
    """
    tried = in_turn(spec, start) if spec.racing is None else race(spec, spec.racing, start)
    probes = tried.probes
    if tried.fault is not None:
        return Swept(probes, None, Outcome.ERRORED, tried.fault)
    if any(probe.stopped == "timed-out" for probe in probes):
        return Swept(probes, None, Outcome.TIMED_OUT)
    best = max(probes, key=lambda probe: probe.score)
    # Where the best of all misses the first bar, so did the first group, and no other was tried.
    if best.score < max(spec.give_up_accuracy, spec.minimum_accuracy):
        diverged = all(probe.stopped == "non-finite" for probe in probes)
        return Swept(probes, None, Outcome.DIVERGED if diverged else Outcome.UNTRAINABLE)
    return Swept(probes, best.rate)


def in_turn(spec: Sweep, start: Start) -> Tried:
    """The paper's way: one rate after the other, each to its end, group by group."""
    probes: list[Probe] = []
    for group in spec.rates:
        for rate in group:
            try:
                probes.append(run_probe(spec, rate, start))
            except CandidateError as fault:
                return Tried(tuple(probes), str(fault))
            if probes[-1].stopped == "timed-out":
                return Tried(tuple(probes))
        if all(probe.score < spec.give_up_accuracy for probe in probes):
            break
    return Tried(tuple(probes))
