"""Images as a network takes them, made ready once instead of at every step."""

from __future__ import annotations

import torch
from torch import Tensor

from evoptim.tasks import Dataset, Normalisation
from evoptim.training.batches import Batch
from evoptim.training.convolution import LARGEST_MATRIX, unfold

LARGEST_UNFOLDED = 2**25
"""Numbers (128 MiB) up to which a part of a task is kept unfolded."""


class Inputs:
    """A part of a task, normalised.

    A small part of small images is unfolded too, once: the first convolution then is a product of
    matrices, see :mod:`evoptim.training.convolution`.

    Args:
        data: The images.
        normalise: From pixels to inputs.
        batch_size: Images that are taken at a time.
        unfolded: Whether they may be unfolded.
    """

    def __init__(
        self, data: Dataset, normalise: Normalisation, batch_size: int, *, unfolded: bool
    ) -> None:
        self._data, self._normalise = data, normalise
        self._ready: Tensor | None = None
        numbers = 9 * data.images[0].numel()
        small = numbers * batch_size <= LARGEST_MATRIX and numbers * len(data) <= LARGEST_UNFOLDED
        if unfolded and small and data.images.device.type == "cpu":
            self._ready = torch.cat(
                [unfold(normalise(images)) for images in torch.split(data.images, batch_size)]
            )

    def __len__(self) -> int:
        return len(self._data)

    def batch(self, start: int, size: int) -> Batch:
        """Consecutive images with their labels: normalised, perhaps unfolded."""
        chosen = slice(start, start + size)
        labels = self._data.labels[chosen]
        if self._ready is not None:
            return self._ready[chosen], labels
        return self._normalise(self._data.images[chosen]), labels
