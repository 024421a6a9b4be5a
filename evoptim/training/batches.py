"""The order in which images are trained on: the same at every pass, without shuffling."""

from __future__ import annotations

from collections.abc import Iterator

import torch

Batch = tuple[torch.Tensor, torch.Tensor]
"""Images and labels."""


def repeated_places(images: int, batch_size: int) -> Iterator[int]:
    """Where the next batch of consecutive images starts, without end.

    The last batch of each pass has what is left: 45,000 images make 351 of 128 and one of 72.
    """
    while True:
        yield from range(0, images, batch_size)
