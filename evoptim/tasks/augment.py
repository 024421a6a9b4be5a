"""Random crop, flip and cutout of a batch at once.

Source: Morgan & Hougen, arXiv 2404.06679; cutout: DeVries & Taylor, arXiv 1708.04552.
"""

from __future__ import annotations

import torch
from torch import Tensor

PAD_SHARE = 8
CUT_SHARE = 4


def crop_flip_cutout(images: Tensor, generator: torch.Generator) -> Tensor:
    """Augment every image of a batch on its own.

    Reflect-pad by an eighth of each side and crop back at a uniform place; mirror half of the
    images; set one rectangle of a quarter of each side to 0, at a uniform centre pixel, clipped at
    the border.

    Args:
        images: N x C x H x W, normalised. H and W are at least 2.
        generator: of the CPU, whatever the device of the images, so that all devices draw alike.

    Returns:
        Images of the same shape.
    """
    count, _, height, width = images.shape
    rows = _cropped(count, height, generator)
    columns = _cropped(count, width, generator)
    flipped = torch.rand(count, 1, generator=generator) < 0.5
    columns = torch.where(flipped, columns.flip(1), columns)
    cut = _cut(count, height, generator)[:, :, None] & _cut(count, width, generator)[:, None, :]

    device = images.device
    batch = torch.arange(count, device=device)[:, None, None]
    chosen = images.permute(0, 2, 3, 1)[
        batch, rows.to(device)[:, :, None], columns.to(device)[:, None, :]
    ]
    return chosen.permute(0, 3, 1, 2).masked_fill_(cut.to(device)[:, None], 0.0)


def _cropped(count: int, side: int, generator: torch.Generator) -> Tensor:
    """Pixel indices along one axis of each image (N x side), without building the padded image."""
    pad = side // PAD_SHARE
    offset = torch.randint(2 * pad + 1, (count, 1), generator=generator) - pad
    shifted = (torch.arange(side) + offset).abs()
    return (side - 1) - ((side - 1) - shifted).abs()


def _cut(count: int, side: int, generator: torch.Generator) -> Tensor:
    """Which pixels along one axis of each image lie in the cut (N x side)."""
    length = side // CUT_SHARE
    first = torch.randint(side, (count, 1), generator=generator) - length // 2
    position = torch.arange(side)
    return (position >= first) & (position < first + length)
