"""Image files to one array. A file that is no sound image is refused here, before any training."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from evoptim.errors import InputError
from evoptim.tasks.source import ImageSource

Pixels = NDArray[np.uint8]
Progress = Callable[[int, int], None]
"""Called with the number of images done and the number of all."""

FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
MAX_FILE_PIXELS = 64 * 2**20
MAX_TOTAL_BYTES = 8 * 2**30
SMALLEST_SIDE, LARGEST_SIDE = 8, 256
_REPORT_EVERY = 500


def decode_images(
    source: ImageSource,
    used: Sequence[str],
    unused: Sequence[str],
    image_size: int | None,
    progress: Progress | None = None,
) -> Pixels:
    """Decode the images that a split uses; of the others only look at the header.

    Args:
        source: the files.
        used: names to decode, in this order.
        unused: names of the source's other images. That they begin like images, and a zip's
            checksums, are checked, so that a broken source is noticed before a larger run needs it.
        image_size: side in pixels to which every image is resized (bilinear, aspect not kept);
            None needs images of one size.
        progress: told how far it is.

    Returns:
        uint8 of N x C x H x W. C is 1 if every image is grey, else 3.

    Raises:
        InputError: a file is no image, is corrupt or too large, sizes differ, or all together take
            more than 8 GiB.
    """
    total = len(used) + len(unused)
    result: Pixels | None = None
    for index, name in enumerate(used):
        pixels = _decode(source, name, image_size)
        if result is None:
            result = _allocate(len(used), name, pixels)
        if pixels.shape[1:] != result.shape[2:]:
            raise InputError(
                f"images must have one size, but {used[0]!r} has {_size(result)} pixels and "
                f"{name!r} {_size(pixels)}; set task.image_size to resize them"
            )
        if pixels.shape[0] > result.shape[1]:
            result = np.repeat(result, 3, axis=1)
        result[index] = pixels
        _report(progress, index + 1, total)
    for index, name in enumerate(unused, start=len(used)):
        with _opened(source, name):
            _report(progress, index + 1, total)
    assert result is not None, "a split is never empty"
    return result


def resize_images(images: Pixels, image_size: int | None) -> Pixels:
    """N x C x H x W images resized in the same way; None leaves them as they are."""
    if image_size is None:
        return images
    return np.stack(
        [
            np.stack([np.asarray(_resized(Image.fromarray(plane), image_size)) for plane in image])
            for image in images
        ]
    )


def _report(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None and (done % _REPORT_EVERY == 0 or done == total):
        progress(done, total)


def _decode(source: ImageSource, name: str, image_size: int | None) -> Pixels:
    """One image as C x H x W."""
    with _opened(source, name) as image:
        try:
            plain = _plain(image)
        except Exception as error:  # Pillow's decoders raise whatever their format's library does
            if isinstance(error, MemoryError):
                raise
            raise _corrupt(source, name, str(error)) from error
    pixels = np.asarray(plain if image_size is None else _resized(plain, image_size))
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _opened(source: ImageSource, name: str) -> Image.Image:
    content = source.read(name)
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except Exception as error:
        if isinstance(error, MemoryError):
            raise
        reason = "it is no image" if isinstance(error, UnidentifiedImageError) else str(error)
        raise _corrupt(source, name, reason) from error
    if image.width * image.height > MAX_FILE_PIXELS:
        raise InputError(
            f"an image may have {MAX_FILE_PIXELS} pixels, but {name!r} in {source.label} has "
            f"{image.width}x{image.height}; replace it or leave it out"
        )
    return image


def _plain(image: Image.Image) -> Image.Image:
    """As 8-bit grey or RGB, without transparency."""
    image.load()
    if image.mode.startswith("I"):
        # 16-bit grey, in older Pillows as 32 bits; converting would clip it at 255, not scale it.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert("L" if image.mode in ("1", "L", "LA") else "RGB")


def _resized(image: Image.Image, side: int) -> Image.Image:
    return image.resize((side, side), Image.Resampling.BILINEAR)


def _allocate(count: int, name: str, first: Pixels) -> Pixels:
    channels, height, width = first.shape
    if min(height, width) < SMALLEST_SIDE or max(height, width) > LARGEST_SIDE:
        raise InputError(
            f"images must have sides of {SMALLEST_SIDE} to {LARGEST_SIDE} pixels, but {name!r} has "
            f"{_size(first)}; set task.image_size to resize them"
        )
    # As if in colour: the first image does not tell for the others.
    size = count * 3 * height * width
    if size > MAX_TOTAL_BYTES:
        raise InputError(
            f"decoded images may take {MAX_TOTAL_BYTES // 2**30} GiB, but {count} of "
            f"{_size(first)} pixels take {size / 2**30:.1f}; lower task.image_size or task.train"
        )
    return np.zeros((count, channels, height, width), np.uint8)


def _size(pixels: Pixels) -> str:
    return f"{pixels.shape[-1]}x{pixels.shape[-2]}"


def _corrupt(source: ImageSource, name: str, reason: str) -> InputError:
    return InputError(
        f"{name!r} in {source.label} cannot be decoded ({reason}); replace it or leave it out"
    )
