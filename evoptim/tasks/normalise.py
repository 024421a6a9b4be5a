"""Pixels to network inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from evoptim.tasks.dataset import Split


@dataclass(frozen=True, eq=False)
class Normalisation:
    """``(pixel - mean) / deviation`` for each channel, in units of pixels of 0 to 255."""

    mean: torch.Tensor
    """float32, C x 1 x 1."""
    deviation: torch.Tensor
    """float32, C x 1 x 1."""

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """float32 images in the memory format that convolutions run fastest in."""
        pixels = images.to(torch.float32, memory_format=torch.channels_last)
        return pixels.sub_(self.mean).div_(self.deviation)


def normalisation(kind: Literal["unit", "standard"], split: Split) -> Normalisation:
    """The normalisation that a protocol names.

    ``unit`` divides by 255. ``standard`` takes mean and deviation of each channel over the training
    and validation images (in the paper: all 50,000). A channel without any variation is only
    centred.
    """
    if kind == "unit":
        means, deviations = [0.0] * split.channels, [255.0] * split.channels
    else:
        means, deviations = [], []
        for channel in range(split.channels):
            mean, deviation = _moments(split, channel)
            means.append(mean)
            deviations.append(deviation or 1.0)
    device = split.train.images.device
    return Normalisation(*(_column(values, device) for values in (means, deviations)))


def _moments(split: Split, channel: int) -> tuple[float, float]:
    """From whole numbers only, so that neither order nor machine changes a bit."""
    counts = sum(
        torch.bincount(part.images[:, channel].flatten(), minlength=256)
        for part in (split.train, split.validation)
    )
    assert isinstance(counts, torch.Tensor)
    histogram = [int(count) for count in counts.tolist()]
    total = sum(histogram)
    first = sum(value * count for value, count in enumerate(histogram))
    second = sum(value * value * count for value, count in enumerate(histogram))
    return first / total, (second * total - first * first) ** 0.5 / total


def _column(values: list[float], device: torch.device) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32, device=device).view(-1, 1, 1)
