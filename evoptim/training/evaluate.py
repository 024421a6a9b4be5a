"""The fitness of one optimizer under one protocol."""

from __future__ import annotations

import math
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

import torch

from evoptim.config import Protocol
from evoptim.records import Cost, Epoch, Evaluation, Outcome, Training
from evoptim.tasks import Split
from evoptim.training.fault import CandidateError
from evoptim.training.full import train_fully
from evoptim.training.hopeless import why
from evoptim.training.isolation import isolated
from evoptim.training.meter import Meter, Progress
from evoptim.training.seeds import derived_seed
from evoptim.training.setting import Device, MakeOptimizer, Setting, prepare
from evoptim.training.sweep import Swept, sweep
from evoptim.training.tuning import Tuned, tune


def evaluate(
    subject: str,
    make_optimizer: MakeOptimizer,
    protocol: Protocol,
    split: Split,
    *,
    device: Device = "auto",
    progress: Progress | None = None,
    bars: Sequence[float] = (),
) -> Evaluation:
    """Choose the rate, train fully once for each seed, and record what came of it.

    A sweep chooses the rate, and then a tuning where the protocol has one.

    On a CPU the record is a function of the arguments alone (but for its cost): whatever the
    process, the number of threads or the state of any random generator. Those of the caller are
    left as they are.

    Args:
        subject: content id of a genome, or name of a baseline.
        make_optimizer: called with parameters, peak rate and base schedule for every training; the
            optimizer's ``step()`` must follow the schedule by itself.
        protocol: sweep, training, seeds.
        split: the images of ``protocol.task``. Its test part decides nothing, and is measured only
            if the protocol says so.
        device: ``auto`` is the GPU if there is one. A GPU does not promise the same bits.
        progress: called after each epoch with the steps taken and the most there can be.
        bars: what the training under the first seed has to reach by the end of each epoch, in the
            best of its validation accuracies, or be stopped as hopeless.

    Returns:
        The record. A candidate that diverges, fails to train, takes too long or raises has an
        outcome that says so, and no fitness.

    Raises:
        InputError: there is no such device.
        MemoryError, OSError, InfrastructureError: the machine failed, not the candidate.
    """
    meter = Meter(protocol, progress)
    with isolated(tf32=protocol.precision == "tf32"):
        torch.manual_seed(derived_seed(protocol.seeds[0], "optimizer"))
        setting = prepare(protocol, split, make_optimizer, device)
        swept = sweep(setting, meter)
        tuned = _tuned(setting, swept, meter)
        trainings, outcome, message = _train(setting, tuned, meter, bars)
    best = [] if outcome.failed else [_best_epoch(training) for training in trainings]
    return Evaluation(
        subject=subject,
        protocol=protocol.content_id(),
        outcome=outcome,
        fitness=_mean([epoch.validation_accuracy for epoch in best]),
        validation_loss=_mean([epoch.validation_loss for epoch in best]),
        test_accuracy=_mean([training.test_accuracy for training in trainings]) if best else None,
        rate=tuned.rate,
        probes=swept.probes,
        tuned=tuned.tried,
        trainings=trainings,
        steps=meter.steps,
        message=message,
        versions=versions(),
        cost=Cost(seconds=meter.cost(setting.device), device=str(setting.device)),
    )


def _tuned(setting: Setting, swept: Swept, meter: Meter) -> Tuned:
    """The rate, or how the candidate failed while it was looked for."""
    spec = setting.protocol.tuning
    if swept.rate is None or spec is None:
        return Tuned((), swept.rate, swept.outcome, swept.message)
    return tune(setting, spec, swept.rate, meter)


def _train(
    setting: Setting, tuned: Tuned, meter: Meter, bars: Sequence[float]
) -> tuple[tuple[Training, ...], Outcome, str | None]:
    """One full training for each seed, up to the first that leaves no fitness."""
    if tuned.outcome is not None or tuned.rate is None:
        assert tuned.outcome is not None
        return (), tuned.outcome, tuned.message
    trainings: list[Training] = []
    outcome = Outcome.TRAINED
    for seed in setting.protocol.seeds:
        try:
            # The bars are those of trainings under the first seed.
            own_bars = () if trainings else bars
            training = train_fully(
                setting, tuned.rate, seed, meter, own_bars, test=setting.protocol.test
            )
        except CandidateError as fault:
            return tuple(trainings), Outcome.ERRORED, str(fault)
        trainings.append(training)
        if training.stopped == "hopeless":
            accuracies = [epoch.validation_accuracy for epoch in training.curve]
            return tuple(trainings), Outcome.STOPPED, why(accuracies, bars)
        if training.stopped == "timed-out":
            return tuple(trainings), Outcome.TIMED_OUT, None
        if training.best_epoch is None:
            return tuple(trainings), Outcome.DIVERGED, None
        if training.stopped != "completed":
            outcome = Outcome.COLLAPSED
    return tuple(trainings), outcome, None


def _best_epoch(training: Training) -> Epoch:
    assert training.best_epoch is not None
    return training.curve[training.best_epoch]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    return math.fsum(known) / len(known)


def versions() -> dict[str, str]:
    """What computes evaluations here: evoptim, Python and torch."""
    try:
        own = version("evoptim")
    except PackageNotFoundError:
        own = "not installed"
    return {"evoptim": own, "python": platform.python_version(), "torch": torch.__version__}
