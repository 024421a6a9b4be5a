"""The LR sweep: a short training at every rate chooses the rate, or fails the candidate.

Source: Morgan & Hougen, arXiv 2404.06679, and the authors' program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from evoptim.config import Sweep
from evoptim.records import Outcome, Probe
from evoptim.training.epoch import Metrics, train_epoch
from evoptim.training.fault import CandidateError
from evoptim.training.meter import Meter
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
    return choose_rate(setting.protocol.sweep, lambda rate: _probe(setting, rate, meter))


def choose_rate(spec: Sweep, probe_at: Callable[[float], Probe]) -> Swept:
    """Try the rates in groups.

    If all scores of the first group miss ``give_up_accuracy``, no other rate is tried. In the end
    the best score must reach ``minimum_accuracy``; the first of equal ones wins.
    """
    probes: list[Probe] = []
    for group in spec.rates:
        for rate in group:
            try:
                probe = probe_at(rate)
            except CandidateError as fault:
                return Swept(tuple(probes), None, Outcome.ERRORED, str(fault))
            probes.append(probe)
            if probe.stopped == "timed-out":
                return Swept(tuple(probes), None, Outcome.TIMED_OUT)
        # Once a rate has passed, this holds of no later group.
        if all(probe.score < spec.give_up_accuracy for probe in probes):
            return _failed(probes)
    best = max(probes, key=lambda probe: probe.score)
    if best.score < spec.minimum_accuracy:
        return _failed(probes)
    return Swept(tuple(probes), best.rate)


def _failed(probes: Sequence[Probe]) -> Swept:
    diverged = all(probe.stopped == "non-finite" for probe in probes)
    return Swept(tuple(probes), None, Outcome.DIVERGED if diverged else Outcome.UNTRAINABLE)


def _probe(setting: Setting, rate: float, meter: Meter) -> Probe:
    spec, seed = setting.protocol.sweep, setting.protocol.seeds[0]
    network = setting.network(seed)
    optimizer = setting.optimizer(network, rate, spec.schedule)
    batches = setting.batches(seed)
    accuracies: list[float] = []
    stopped: Literal["completed", "non-finite", "below-bar", "timed-out"] = "completed"
    for epoch in range(1, spec.epochs + 1):
        run = train_epoch(network, optimizer, batches, spec.steps_per_epoch, meter)
        if not isinstance(run, Metrics):
            stopped = run
            break
        accuracies.append(run.accuracy)
        if _gives_up(spec, epoch, run.accuracy):
            stopped = "below-bar"
            break
    return Probe(rate=rate, accuracies=tuple(accuracies), stopped=stopped)


def _gives_up(spec: Sweep, epoch: int, accuracy: float) -> bool:
    return epoch == spec.give_up_epoch and accuracy < spec.give_up_accuracy
