"""Everything that the trainings of one evaluation share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.optim.optimizer import Optimizer

from evoptim.config import Protocol, ScheduleSpec
from evoptim.errors import InputError
from evoptim.tasks import Split, crop_flip_cutout, normalisation
from evoptim.training.batches import Batch, repeated_places
from evoptim.training.epoch import MEASURED_AT_ONCE
from evoptim.training.fault import guarded
from evoptim.training.flat import is_elementwise
from evoptim.training.inputs import Inputs
from evoptim.training.network import TrainingNetwork
from evoptim.training.seeds import generator

Device = Literal["auto", "cpu", "cuda"]
MakeOptimizer = Callable[[Iterable[nn.Parameter], float, ScheduleSpec], Optimizer]
"""From parameters, peak rate and base schedule to an optimizer whose ``step()`` follows it."""


@dataclass(frozen=True, eq=False)
class Setting:
    """A protocol with its images on the device, and the optimizer that is on trial."""

    protocol: Protocol
    split: Split
    train: Inputs
    validation: Inputs
    test: Inputs
    make_optimizer: MakeOptimizer
    device: torch.device

    def network(self, seed: int) -> TrainingNetwork:
        """A fresh network; the same one for every call with this seed."""
        half = self.protocol.precision == "bfloat16"
        return TrainingNetwork(
            self.split.channels,
            len(self.split.classes),
            self.protocol.model,
            generator(seed, "network"),
            self.device,
            torch.bfloat16 if half else torch.float32,
        )

    def optimizer(self, network: TrainingNetwork, rate: float, schedule: ScheduleSpec) -> Optimizer:
        """The optimizer on trial, over one tensor of all weights where that is the same.

        Raises:
            CandidateError: it raised.
        """
        weights = list(network.parameters())
        optimizer = guarded(lambda: self.make_optimizer(weights, rate, schedule))
        if not is_elementwise(optimizer, weights):
            return optimizer
        return guarded(lambda: self.make_optimizer([network.flat.whole], rate, schedule))

    def batches(self, seed: int) -> Iterator[Batch]:
        """Training batches without end, normalised and augmented."""
        draws = generator(seed, "augmentation")
        size = self.protocol.batch_size
        for start in repeated_places(len(self.train), size):
            inputs, labels = self.train.batch(start, size)
            if self.protocol.augmentation == "crop-flip-cutout":
                inputs = crop_flip_cutout(inputs, draws)
            yield inputs, labels


def prepare(
    protocol: Protocol, split: Split, make_optimizer: MakeOptimizer, device: Device
) -> Setting:
    """Move the images to the device and measure what normalisation needs.

    Raises:
        InputError: ``device`` is ``cuda`` and there is none.
    """
    where = choose_device(device)
    moved = Split(
        split.classes, split.train.to(where), split.validation.to(where), split.test.to(where)
    )
    normalise = normalisation(protocol.normalisation, moved)
    exact = protocol.precision != "bfloat16"
    return Setting(
        protocol,
        moved,
        Inputs(
            moved.train,
            normalise,
            protocol.batch_size,
            unfolded=exact and protocol.augmentation == "none",
        ),
        Inputs(moved.validation, normalise, MEASURED_AT_ONCE, unfolded=exact),
        # Looked at once: not worth unfolding.
        Inputs(moved.test, normalise, MEASURED_AT_ONCE, unfolded=False),
        make_optimizer,
        where,
    )


def choose_device(device: Device) -> torch.device:
    """``auto`` is the GPU if there is one.

    Raises:
        InputError: ``device`` is ``cuda`` and there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device is 'cuda', but torch finds no GPU; use 'cpu' or 'auto'")
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)
