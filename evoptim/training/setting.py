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
from evoptim.tasks import ConvNet, Normalisation, Split, crop_flip_cutout, normalisation
from evoptim.training.batches import Batch, repeated_batches
from evoptim.training.seeds import generator

Device = Literal["auto", "cpu", "cuda"]
MakeOptimizer = Callable[[Iterable[nn.Parameter], float, ScheduleSpec], Optimizer]
"""From parameters, peak rate and base schedule to an optimizer whose ``step()`` follows it."""


@dataclass(frozen=True, eq=False)
class Setting:
    """A protocol with its images on the device, and the optimizer that is on trial."""

    protocol: Protocol
    split: Split
    normalise: Normalisation
    make_optimizer: MakeOptimizer
    device: torch.device

    def network(self, seed: int) -> ConvNet:
        """A fresh network; the same one for every call with this seed."""
        model = self.protocol.model
        network = ConvNet(
            self.split.channels,
            len(self.split.classes),
            model.base_width,
            model.dropout,
            generator(seed, "network"),
        )
        # Convolutions are faster so on a CPU (benchmarks/evaluation.py --steps).
        return network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def batches(self, seed: int) -> Iterator[Batch]:
        """Training batches without end, normalised and augmented."""
        draws = generator(seed, "augmentation")
        augmented = self.protocol.augmentation == "crop-flip-cutout"
        for images, labels in repeated_batches(self.split.train, self.protocol.batch_size):
            inputs = self.normalise(images)
            yield (crop_flip_cutout(inputs, draws) if augmented else inputs), labels


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
    return Setting(
        protocol, moved, normalisation(protocol.normalisation, moved), make_optimizer, where
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
