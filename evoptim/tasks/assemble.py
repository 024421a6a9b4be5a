"""One array of images, part after part, as a split."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike

from evoptim.tasks.dataset import Dataset, Split
from evoptim.tasks.decode import Pixels


def assemble(
    classes: Sequence[str], images: Pixels, labels: ArrayLike, sizes: tuple[int, int, int]
) -> Split:
    """The split of which ``images`` and ``labels`` hold all training, validation and test images.

    Args:
        classes: class names by label.
        images: N x C x H x W, first those to train on, then those to validate on, then the rest.
        labels: N, in the same order.
        sizes: number of images of each part; their sum is N.
    """
    all_images = torch.from_numpy(images)
    all_labels = torch.from_numpy(np.asarray(labels, dtype=np.int64))
    train, validation, test = (
        Dataset(part, part_labels)
        for part, part_labels in zip(
            torch.split(all_images, list(sizes)), torch.split(all_labels, list(sizes)), strict=True
        )
    )
    return Split(tuple(classes), train, validation, test)
