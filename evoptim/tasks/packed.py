"""Decoded images as bytes, for machines to pass to each other."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Protocol

import numpy as np

from evoptim.tasks.assemble import assemble
from evoptim.tasks.dataset import Split, fingerprint

LARGEST_PACKED = 2**30
"""Bytes of images up to which they are passed on: the whole is held in memory, and sent at once."""


class SharedImages(Protocol):
    """Where machines leave decoded images for each other, by their fingerprint."""

    def get(self, fingerprint: str) -> bytes | None:
        """What :meth:`put` was given; None if nothing was."""

    def put(self, fingerprint: str, data: bytes) -> None:
        """Keep images, unless they are there already."""


def pack(split: Split) -> bytes | None:
    """A split as an npz file; None where it is larger than :data:`LARGEST_PACKED`."""
    parts = (split.train, split.validation, split.test)
    if sum(part.images.numel() for part in parts) > LARGEST_PACKED:
        return None
    about = {"classes": list(split.classes), "sizes": [len(part) for part in parts]}
    buffer = io.BytesIO()
    np.savez(
        buffer,
        images=np.concatenate([part.images.numpy() for part in parts]),
        labels=np.concatenate([part.labels.numpy() for part in parts]),
        about=np.frombuffer(json.dumps(about).encode(), np.uint8),
    )
    return buffer.getvalue()


def unpack(data: bytes, expected: str) -> Split | None:
    """The split that :func:`pack` packed; None unless it is one of the fingerprint ``expected``."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            about = json.loads(arrays["about"].tobytes())
            train, validation, test = about["sizes"]
            split = assemble(
                about["classes"], arrays["images"], arrays["labels"], (train, validation, test)
            )
    except (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, zipfile.BadZipFile):
        return None
    return split if fingerprint(split) == expected else None
