"""Where evoptim keeps what it could always make again: decoded images, built kernels, logs."""

import os
from pathlib import Path

CACHE_VARIABLE = "EVOPTIM_CACHE_DIR"
"""Environment variable that chooses the folder."""


def cache_directory() -> Path:
    """``$EVOPTIM_CACHE_DIR``, or ``~/.cache/evoptim``; deleting it is always safe.

    Raises:
        RuntimeError: no home folder is known.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen) if chosen else Path.home() / ".cache" / "evoptim"
