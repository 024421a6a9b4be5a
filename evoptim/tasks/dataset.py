"""Labelled images and their split into training, validation and test part."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import torch


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images with their labels, in the fixed order in which they are trained on."""

    images: torch.Tensor
    """uint8, N x C x H x W, values 0 to 255."""
    labels: torch.Tensor
    """int64, N: indices into the class names."""

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            raise ValueError(
                f"images must be uint8 of N x C x H x W, got {self.images.dtype} of "
                f"{tuple(self.images.shape)}"
            )
        if self.labels.dtype != torch.int64 or self.labels.shape != self.images.shape[:1]:
            raise ValueError(
                f"{len(self.images)} images need as many int64 labels, got {self.labels.dtype} of "
                f"{tuple(self.labels.shape)}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> Dataset:
        """The same images on ``device``."""
        return Dataset(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True, eq=False)
class Split:
    """The three parts of a task; the test part takes no part in any selection."""

    classes: tuple[str, ...]
    """Class names by label."""
    train: Dataset
    validation: Dataset
    test: Dataset

    @property
    def channels(self) -> int:
        """Colour channels of an image: 1 or 3."""
        return self.train.images.shape[1]


def fingerprint(split: Split) -> str:
    """SHA-256 of everything that a split holds: class names, sizes, pixels, labels, in order."""
    parts = (split.train, split.validation, split.test)
    head = {
        "classes": list(split.classes),
        "shapes": [list(part.images.shape) for part in parts],
    }
    digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    for part in parts:
        # Little-endian whatever the machine, so that the digest travels.
        digest.update(part.images.cpu().contiguous().numpy().data)
        digest.update(part.labels.cpu().numpy().astype("<i8").tobytes())
    return digest.hexdigest()
