"""Normalisation and augmentation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evoptim.tasks import Dataset, Split, crop_flip_cutout, normalisation

seeds = st.integers(0, 2**31 - 1)
sides = st.integers(2, 40)


def drawing(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbered(count: int, height: int, width: int) -> torch.Tensor:
    """Two channels; the first holds the number of each pixel from 1, the second its negative."""
    pixels = torch.arange(1, height * width + 1, dtype=torch.float32).view(1, 1, height, width)
    return torch.cat([pixels, -pixels], 1).repeat(count, 1, 1, 1)


@given(seeds, sides, sides)
def test_every_image_is_a_crop_with_a_cut(seed: int, height: int, width: int) -> None:
    """Each result is found among all crops of all flips of the padded image, by brute force."""
    images = numbered(3, height, width)
    result = crop_flip_cutout(images, drawing(seed))
    assert result.shape == images.shape
    assert torch.equal(result[:, 0], -result[:, 1]), "channels are treated alike"
    pad_y, pad_x = height // 8, width // 8
    padded = np.pad(images[0, 0].numpy(), ((pad_y, pad_y), (pad_x, pad_x)), mode="reflect")
    crops = [
        padded[y : y + height, x : x + width][:, ::step]
        for y in range(2 * pad_y + 1)
        for x in range(2 * pad_x + 1)
        for step in (1, -1)
    ]
    for image in result[:, 0].numpy():
        cut = image == 0
        assert any(np.array_equal(np.where(cut, 0, crop), image) for crop in crops)
        assert _is_rectangle(cut)
        assert cut.any(1).sum() <= height // 4
        assert cut.any(0).sum() <= width // 4


def _is_rectangle(mask: np.ndarray) -> bool:
    rows, columns = mask.any(1), mask.any(0)
    contiguous = all(
        np.abs(np.diff(np.pad(axis.astype(int), 1))).sum() <= 2 for axis in (rows, columns)
    )
    return contiguous and np.array_equal(mask, rows[:, None] & columns[None, :])


def test_all_places_flips_and_cuts_occur_equally_often() -> None:
    """8 x 8 pixels: 9 crops x 2 flips, and cuts of 2 x 2 around each of 64 centres."""
    count = 20_000
    result = crop_flip_cutout(numbered(count, 8, 8), drawing(0))[:, 0]
    # The cut of 2 covers the centre and the pixel before it: at centre 0 only one row is left.
    rows = (result == 0).any(2)
    assert rows.sum(1).bincount().tolist()[1] == pytest.approx(
        count / 8, abs=5 * (count / 8) ** 0.5
    )
    # A pixel is cut if the centre is on it or just after it; the last one only if on it.
    shares = rows.double().mean(0)
    # Five standard deviations of a share of 20,000 draws.
    assert torch.allclose(shares, torch.tensor([2.0] * 7 + [1.0]).double() / 8, atol=0.016)
    flipped = result[:, :, 1:] - result[:, :, :-1]
    towards_left = (flipped == -1).sum((1, 2)) > (flipped == 1).sum((1, 2))
    assert towards_left.double().mean() == pytest.approx(0.5, abs=0.018)


def test_the_same_generator_gives_the_same_images() -> None:
    images = numbered(5, 32, 32)
    assert torch.equal(crop_flip_cutout(images, drawing(1)), crop_flip_cutout(images, drawing(1)))
    assert not torch.equal(
        crop_flip_cutout(images, drawing(1)), crop_flip_cutout(images, drawing(2))
    )


def split_of(train: torch.Tensor, validation: torch.Tensor, test: torch.Tensor) -> Split:
    parts = [
        Dataset(images, torch.zeros(len(images), dtype=torch.int64))
        for images in (train, validation, test)
    ]
    return Split(("a", "b"), *parts)


def pixels(seed: int, count: int) -> torch.Tensor:
    return torch.randint(256, (count, 3, 4, 5), generator=drawing(seed), dtype=torch.uint8)


def test_unit_divides_by_255() -> None:
    split = split_of(pixels(0, 9), pixels(1, 2), pixels(2, 2))
    normalised = normalisation("unit", split)(split.train.images)
    assert normalised.dtype == torch.float32
    assert torch.equal(normalised, split.train.images.float() / 255)


def test_standard_is_over_training_and_validation_but_not_test_images() -> None:
    split = split_of(pixels(0, 9), pixels(1, 4), 0 * pixels(2, 50))
    standard = normalisation("standard", split)
    both = torch.cat([standard(split.train.images), standard(split.validation.images)])
    # Float32 sums of 260 numbers of order one.
    assert torch.allclose(both.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(both.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-5)


def test_a_channel_without_variation_is_only_centred() -> None:
    images = torch.full((6, 1, 2, 2), 7, dtype=torch.uint8)
    split = split_of(images, images, images)
    assert torch.equal(normalisation("standard", split)(images), torch.zeros(6, 1, 2, 2))
