"""Racing: the probes of a sweep side by side, from which those that fall behind are dropped.

The idea is that of successive halving (Jamieson & Talwalkar, AISTATS 2016), with margins in place
of halves: of rates that are nearly as good none is dropped, of hopeless ones all are at once.

Three rules tie the race to the paper's sweep:

* A later group of rates joins as soon as one has reached ``give_up_accuracy``, and catches up.
* Nobody is dropped before one has reached ``minimum_accuracy`` too. Until then the race is the
  sweep in another order, so that a candidate fails in it if, and only if, it fails in the sweep:
  at the same rates, with the same accuracies. (Only what raises or runs out of time in an epoch
  that a race leaves out differs.)
* A rate whose loss becomes NaN or infinite, or which misses the bar, keeps its score and may win,
  but nobody is dropped for lying behind it.

What may differ is the rate, where the sweep's winner was late.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from evoptim.config import Racing, Sweep
from evoptim.records import Probe
from evoptim.training.epoch import Interruption
from evoptim.training.fault import CandidateError
from evoptim.training.probe import NextEpoch, Start, Tried, end_of


def race(spec: Sweep, racing: Racing, start: Start) -> Tried:
    """Probe the rates epoch by epoch; it ends early if the last one left leads.

    After each epoch those that have come as far are compared with the leader: the best, over its
    epochs up to this one, of all that are still running or have completed theirs. Who lies more
    than the epoch's margin behind is dropped.
    """
    lanes = [_Lane(rate) for rate in spec.rates[0]]
    later = [_Lane(rate) for group in spec.rates[1:] for rate in group]
    fault = None
    try:
        while (running := _running(lanes)) and not _decided(spec, lanes, running):
            epoch = 1 + min(len(lane.accuracies) for lane in running)
            for lane in running:
                if len(lane.accuracies) < epoch:
                    lane.advance(spec, start)
                if lane.stopped == "timed-out":
                    return Tried(_probes(lanes))
            best = max(lane.score for lane in lanes)
            if best >= max(spec.give_up_accuracy, spec.minimum_accuracy):
                _drop(lanes, epoch, _margin(racing, epoch))
            if best >= spec.give_up_accuracy:
                lanes, later = lanes + later, []
    except CandidateError as error:
        fault = str(error)
    return Tried(_probes(lanes), fault)


@dataclass(eq=False)
class _Lane:
    """One rate. Its network is let go when it stops."""

    rate: float
    accuracies: list[float] = field(default_factory=list)
    stopped: str | None = None
    next_epoch: NextEpoch | None = None

    @property
    def score(self) -> float:
        return self.best(len(self.accuracies))

    def best(self, epochs: int) -> float:
        return max(self.accuracies[:epochs], default=0.0)

    def advance(self, spec: Sweep, start: Start) -> None:
        if self.next_epoch is None:
            self.next_epoch = start(self.rate)
        accuracy: float | Interruption = self.next_epoch()
        if isinstance(accuracy, float):
            self.accuracies.append(accuracy)
            self.stop(end_of(spec, self.accuracies))
        else:
            self.stop(accuracy)

    def stop(self, why: str | None) -> None:
        self.stopped = why
        if why is not None:
            self.next_epoch = None


def _running(lanes: Sequence[_Lane]) -> list[_Lane]:
    return [lane for lane in lanes if lane.stopped is None]


def _decided(spec: Sweep, lanes: Sequence[_Lane], running: Sequence[_Lane]) -> bool:
    """Whether the only rate left has won already: more epochs could but raise its score."""
    leader = max(lanes, key=lambda lane: lane.score)
    enough = max(spec.give_up_accuracy, spec.minimum_accuracy)
    return running == [leader] and bool(leader.accuracies) and leader.score >= enough


def _drop(lanes: Sequence[_Lane], epoch: int, margin: float) -> None:
    standard = max(
        (
            lane.best(epoch)
            for lane in lanes
            if lane.stopped in (None, "completed") and len(lane.accuracies) >= epoch
        ),
        default=0.0,
    )
    for lane in _running(lanes):
        if len(lane.accuracies) == epoch and lane.best(epoch) < standard - margin:
            lane.stop("outpaced")


def _margin(racing: Racing, epoch: int) -> float:
    return racing.margins[min(epoch, len(racing.margins)) - 1]


def _probes(lanes: Sequence[_Lane]) -> tuple[Probe, ...]:
    return tuple(
        Probe.model_validate(
            {
                "rate": lane.rate,
                "accuracies": tuple(lane.accuracies),
                "stopped": lane.stopped or "cut-short",
            }
        )
        for lane in lanes
        if lane.stopped or lane.accuracies
    )
