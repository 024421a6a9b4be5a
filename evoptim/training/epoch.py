"""One epoch of training, and measuring a network."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn import functional
from torch.optim.optimizer import Optimizer

from evoptim.tasks import Dataset, Normalisation
from evoptim.training.batches import Batch, one_pass
from evoptim.training.fault import guarded
from evoptim.training.meter import Meter

# Looking at a loss waits for the GPU. A sum that was once not finite stays so, hence a later look
# misses nothing.
_LOOK_EVERY = 10
_MEASURED_AT_ONCE = 500


@dataclass(frozen=True)
class Metrics:
    """How well a network classified some images."""

    loss: float
    """Mean cross-entropy in nats; may be NaN or infinite."""
    accuracy: float
    """Share of correct ones."""


Interruption = Literal["non-finite", "timed-out"]
"""Why an epoch was not completed."""


def train_epoch(
    network: nn.Module,
    optimizer: Optimizer,
    batches: Iterator[Batch],
    steps: int,
    meter: Meter,
) -> Metrics | Interruption:
    """Train for ``steps`` steps, or until the loss is NaN or infinite or the time is up.

    Returns:
        Mean loss and accuracy over the images of the epoch, each batch before its step and in
        training mode, as Keras reports them; or why there are none.

    Raises:
        CandidateError: the optimizer raised.
    """
    network.train()
    # Module.zero_grad would walk the module tree again at every step.
    weights = list(network.parameters())
    loss_sum, correct, images = torch.zeros((), dtype=torch.float64), torch.zeros(()), 0
    for step in range(steps):
        if step % _LOOK_EVERY == 0:
            if not math.isfinite(loss_sum.item()):
                return "non-finite"
            if meter.expired:
                return "timed-out"
        inputs, labels = next(batches)
        logits = network(inputs)
        loss = functional.cross_entropy(logits, labels)
        for weight in weights:
            weight.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        guarded(optimizer.step)
        meter.steps += 1
        images += len(labels)
        # Double precision, so that the sum is finite whenever every loss is.
        loss_sum = loss_sum + loss.detach().double() * len(labels)
        correct = correct + (logits.detach().argmax(1) == labels).sum()
    meter.report()
    metrics = Metrics(loss_sum.item() / images, int(correct.item()) / images)
    return metrics if math.isfinite(metrics.loss) else "non-finite"


def measure(network: nn.Module, data: Dataset, normalise: Normalisation) -> Metrics:
    """Loss and accuracy in evaluation mode; an image whose loss is not finite is not correct."""
    network.eval()
    loss_sum, correct = 0.0, 0
    with torch.inference_mode():
        for images, labels in one_pass(data, _MEASURED_AT_ONCE):
            logits = network(normalise(images))
            losses = functional.cross_entropy(logits, labels, reduction="none")
            hits = (logits.argmax(1) == labels) & losses.isfinite()
            loss_sum += float(losses.double().sum())
            correct += int(hits.sum())
    return Metrics(loss_sum / len(data), correct / len(data))
