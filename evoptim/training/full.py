"""The full training: its best epoch by validation accuracy is the fitness.

Source: Morgan & Hougen, arXiv 2404.06679, and the authors' program.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from evoptim.records import Epoch, Training
from evoptim.training.epoch import Metrics, measure, train_epoch
from evoptim.training.meter import Meter
from evoptim.training.setting import Setting


def train_fully(setting: Setting, rate: float, seed: int, meter: Meter) -> Training:
    """Train a fresh network, validating after every epoch.

    It is stopped after an epoch from ``give_up_epoch`` on whose training accuracy is below
    ``give_up_accuracy``; that epoch counts. Test images are looked at once, at the end, with the
    weights of the best epoch.

    Raises:
        CandidateError: the optimizer raised.
    """
    spec = setting.protocol.training
    network = setting.network(seed)
    optimizer = setting.optimizer(network, rate, spec.schedule)
    batches = setting.batches(seed)
    curve: list[Epoch] = []
    best_epoch: int | None = None
    best_weights: dict[str, torch.Tensor] = {}
    stopped: Literal["completed", "non-finite", "below-bar", "timed-out"] = "completed"
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
    test = None
    if best_epoch is not None:
        network.load_state_dict(best_weights)
        test = measure(network, setting.test)
    return Training(
        seed=seed,
        curve=tuple(curve),
        stopped=stopped,
        best_epoch=best_epoch,
        test_loss=None if test is None else _finite(test.loss),
        test_accuracy=None if test is None else test.accuracy,
    )


def best_epoch_of(curve: Sequence[Epoch]) -> int:
    """The epoch of highest validation accuracy, then of smallest validation loss; the first one."""

    def rank(index: int) -> tuple[float, float]:
        loss = curve[index].validation_loss
        return curve[index].validation_accuracy, -math.inf if loss is None else -loss

    return max(range(len(curve)), key=rank)


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
