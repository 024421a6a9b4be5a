"""The full training: its best epoch by validation accuracy is the fitness.

Source: Morgan & Hougen, arXiv 2404.06679, and the authors' program.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from evoptim.records import Epoch, Training, best_epoch_of
from evoptim.training.epoch import Metrics, measure, train_epoch
from evoptim.training.hopeless import hopeless_after
from evoptim.training.meter import Meter
from evoptim.training.setting import Setting


def train_fully(
    setting: Setting,
    rate: float,
    seed: int,
    meter: Meter,
    bars: Sequence[float] = (),
    *,
    test: bool,
) -> Training:
    """Train a fresh network, validating after every epoch.

    It is stopped after an epoch from ``give_up_epoch`` on whose training accuracy is below
    ``give_up_accuracy``; that epoch counts. Test images are looked at once, at the end, with the
    weights of the best epoch, and only if that is asked for; those of a hopeless training never.

    Args:
        setting: what all trainings share.
        rate: the peak rate.
        seed: which network to begin with, and which augmentations to draw.
        meter: counts the steps.
        bars: below which it is hopeless, for each epoch (:mod:`evoptim.training.hopeless`).
        test: whether to look at test images.

    Raises:
        CandidateError: the optimizer raised.
    """
    spec = setting.protocol.training
    network = setting.network(seed)
    optimizer = setting.optimizer(network, rate, spec.schedule)
    batches = setting.batches(seed)
    began = meter.steps
    curve: list[Epoch] = []
    best_epoch: int | None = None
    best_weights: dict[str, torch.Tensor] = {}
    stopped: Literal["completed", "non-finite", "below-bar", "timed-out", "hopeless"] = "completed"
    for epoch in range(1, spec.epochs + 1):
        run = train_epoch(network, optimizer, batches, spec.steps_per_epoch, meter)
        if not isinstance(run, Metrics):
            stopped = run
            break
        validation = measure(network, setting.validation)
        curve.append(_row(epoch * spec.steps_per_epoch, run, validation))
        if best_epoch_of(curve) == len(curve) - 1:
            best_epoch = len(curve) - 1
            best_weights = _copied(network)
        if epoch >= spec.give_up_epoch and run.accuracy < spec.give_up_accuracy:
            stopped = "below-bar"
            break
        accuracies = [row.validation_accuracy for row in curve]
        if epoch < spec.epochs and hopeless_after(accuracies, bars) is not None:
            stopped = "hopeless"
            break
    tested = None
    if best_epoch is not None and test and stopped != "hopeless":
        network.load_state_dict(best_weights)
        tested = measure(network, setting.test)
    return Training(
        seed=seed,
        curve=tuple(curve),
        steps=meter.steps - began,
        stopped=stopped,
        best_epoch=best_epoch,
        test_loss=None if tested is None else _finite(tested.loss),
        test_accuracy=None if tested is None else tested.accuracy,
    )


def _row(step: int, training: Metrics, validation: Metrics) -> Epoch:
    return Epoch(
        step=step,
        train_loss=training.loss,
        train_accuracy=training.accuracy,
        validation_loss=_finite(validation.loss),
        validation_accuracy=validation.accuracy,
    )


def _finite(loss: float) -> float | None:
    return loss if math.isfinite(loss) else None


def _copied(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}
