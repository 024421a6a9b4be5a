"""The order in which images are trained on: the same at every pass, without shuffling."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from evoptim.tasks import Dataset

Batch = tuple[torch.Tensor, torch.Tensor]
"""Images and labels."""


def repeated_batches(data: Dataset, batch_size: int) -> Iterator[Batch]:
    """Batches of consecutive images without end, as uint8 and int64.

    The last batch of each pass has what is left: 45,000 images make 351 of 128 and one of 72.
    """
    while True:
        yield from one_pass(data, batch_size)


def one_pass(data: Dataset, batch_size: int) -> Iterator[Batch]:
    """The batches of one pass over the data."""
    for start in range(0, len(data), batch_size):
        chosen = slice(start, start + batch_size)
        yield data.images[chosen], data.labels[chosen]
