"""Folders and zips of small pictures, made on the spot."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def picture(
    shade: int = 100, size: tuple[int, int] = (8, 8), mode: str = "RGB", kind: str = "PNG"
) -> bytes:
    """An image file of one shade."""
    return encoded(Image.new("RGB", size, (shade, shade, shade)).convert(mode), kind)


def noise(seed: int, size: tuple[int, int] = (8, 8)) -> bytes:
    """A PNG of random pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return encoded(Image.fromarray(pixels), "PNG")


def encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def classes(
    count: int, names: Sequence[str] = ("cat", "dog"), prefix: str = ""
) -> dict[str, bytes]:
    """``count`` images of each class, each of its own shade; the class is in the second digit."""
    return {
        f"{prefix}{name}/{number:03}.png": picture(shade=number * 10 + label)
        for label, name in enumerate(names)
        for number in range(count)
    }


def folder(path: Path, files: Mapping[str, bytes]) -> str:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    path.mkdir(exist_ok=True)
    return str(path)


def archive(path: Path, files: Mapping[str, bytes]) -> str:
    with zipfile.ZipFile(path, "w") as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    return str(path)
