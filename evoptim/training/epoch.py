"""One epoch of training, and measuring a network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn import functional
from torch.optim.optimizer import Optimizer

from evoptim.training.batches import Batch
from evoptim.training.capture import CapturedSteps, can_capture, cuda_graph
from evoptim.training.fault import guarded
from evoptim.training.inputs import Inputs
from evoptim.training.meter import Meter
from evoptim.training.network import TrainingNetwork

# Looking at a loss takes as long as some layers, and waits for a GPU.
_LOOK_EVERY = 10
MEASURED_AT_ONCE = 250
"""Images that :func:`measure` looks at together."""


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
    take_step = _steps(network, optimizer)
    loss_sum, correct, images = 0.0, 0, 0
    seen: list[Batch] = []
    for step in range(steps):
        if step % _LOOK_EVERY == 0 and meter.expired:
            return "timed-out"
        inputs, labels = next(batches)
        seen.append((take_step(inputs, labels), labels))
        meter.steps += 1
        if len(seen) == _LOOK_EVERY or step == steps - 1:
            chunk = _metrics(seen)
            seen.clear()
            if not math.isfinite(chunk.loss):
                return "non-finite"
            loss_sum += chunk.loss
            correct += chunk.correct
            images += chunk.images
    meter.report()
    return Metrics(loss_sum / images, correct / images)


Step = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From inputs and labels to the logits before the step that it takes."""


def _steps(network: nn.Module, optimizer: Optimizer) -> Step:
    """The cheapest way to take steps with this network and this optimizer."""
    if not isinstance(network, TrainingNetwork):
        return _by_autograd(network, optimizer)
    if network.device.type == "cuda" and can_capture(optimizer):
        if not isinstance(network.steps, CapturedSteps):
            network.steps = CapturedSteps(network, optimizer, cuda_graph)
        return network.steps

    def step(inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        logits = network.learn(inputs, labels)
        guarded(optimizer.step)
        return logits

    return step


def _by_autograd(network: nn.Module, optimizer: Optimizer) -> Step:
    """For networks that do not compute their gradients by themselves."""
    # Module.zero_grad would walk the module tree again at every step.
    weights = list(network.parameters())

    def step(inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = network(inputs)
        for weight in weights:
            weight.grad = None
        functional.cross_entropy(logits, labels).backward()  # type: ignore[no-untyped-call]
        guarded(optimizer.step)
        return logits.detach()

    return step


@dataclass(frozen=True)
class _Sums:
    """Over some images."""

    loss: float
    correct: int
    images: int


def _metrics(seen: Sequence[Batch]) -> _Sums:
    """Of logits and labels."""
    logits = torch.cat([each for each, _ in seen])
    labels = torch.cat([each for _, each in seen])
    losses = functional.cross_entropy(logits, labels, reduction="none")
    hits = (logits.argmax(1) == labels) & losses.isfinite()
    # Double precision, so that the sum is finite whenever every loss is.
    return _Sums(losses.double().sum().item(), int(hits.sum().item()), len(labels))


def measure(network: nn.Module, data: Inputs) -> Metrics:
    """Loss and accuracy in evaluation mode; an image whose loss is not finite is not correct."""
    network.eval()
    loss_sum, correct = 0.0, 0
    with torch.inference_mode():
        for start in range(0, len(data), MEASURED_AT_ONCE):
            images, labels = data.batch(start, MEASURED_AT_ONCE)
            sums = _metrics([(network(images), labels)])
            loss_sum += sums.loss
            correct += sums.correct
    return Metrics(loss_sum / len(data), correct / len(data))
