"""One rate of an LR sweep: a fresh network, always the same one, and what trains it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from evoptim.config import Sweep
from evoptim.records import Probe
from evoptim.training.epoch import Interruption, Metrics, train_epoch
from evoptim.training.meter import Meter
from evoptim.training.setting import Setting

NextEpoch = Callable[[], float | Interruption]
"""Trains a probe for one more epoch: its training accuracy, or why it was not completed.

Raises:
    CandidateError: the optimizer raised.
"""

Start = Callable[[float], NextEpoch]
"""Starts a probe at a rate; raises as :data:`NextEpoch`."""


@dataclass(frozen=True)
class Tried:
    """What probes came to."""

    probes: tuple[Probe, ...]
    """In the order in which a sweep tries the rates."""
    fault: str | None = None
    """What the optimizer raised, which ended it all."""


def start_probe(setting: Setting, meter: Meter, rate: float) -> NextEpoch:
    """A probe that keeps its network, its optimizer and its place in the images."""
    spec, seed = setting.protocol.sweep, setting.protocol.seeds[0]
    network = setting.network(seed)
    optimizer = setting.optimizer(network, rate, spec.schedule)
    batches = setting.batches(seed)

    def next_epoch() -> float | Interruption:
        run = train_epoch(network, optimizer, batches, spec.steps_per_epoch, meter)
        return run.accuracy if isinstance(run, Metrics) else run

    return next_epoch


def run_probe(spec: Sweep, rate: float, start: Start) -> Probe:
    """All epochs of a probe, up to the one that stops it; raises as :data:`NextEpoch`."""
    next_epoch = start(rate)
    accuracies: list[float] = []
    while True:
        accuracy = next_epoch()
        if not isinstance(accuracy, float):
            return Probe(rate=rate, accuracies=tuple(accuracies), stopped=accuracy)
        accuracies.append(accuracy)
        if end := end_of(spec, accuracies):
            return Probe(rate=rate, accuracies=tuple(accuracies), stopped=end)


def end_of(spec: Sweep, accuracies: Sequence[float]) -> Literal["below-bar", "completed"] | None:
    """How a probe ends by itself after these epochs; None if it goes on."""
    if len(accuracies) == spec.give_up_epoch and accuracies[-1] < spec.give_up_accuracy:
        return "below-bar"
    return "completed" if len(accuracies) == spec.epochs else None


def recorded(probes: Sequence[Probe]) -> Start:
    """Probes that do again what they did, without training: to try other sweeps of the same rates.

    A probe that was given up at the bar, or was never dropped, can be followed to any end that a
    sweep with the same bars gives it.
    """
    by_rate = {probe.rate: probe for probe in probes}

    def start(rate: float) -> NextEpoch:
        probe = by_rate[rate]
        return iter([*probe.accuracies, probe.stopped]).__next__  # type: ignore[return-value]

    return start
