"""The recorded data of the authors' program, where they are at hand."""

from __future__ import annotations

import csv
import gzip
import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

_FOLDER = os.environ.get("EVOPTIM_REFERENCE_DIR")

needs_reference = pytest.mark.skipif(
    not _FOLDER, reason="EVOPTIM_REFERENCE_DIR names no folder with the recorded data"
)


@lru_cache(maxsize=4)
def load_json(name: str) -> Any:
    """A JSON file of the folder, gzip-compressed or not."""
    path = Path(_FOLDER or "") / name
    data = path.read_bytes()
    return json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)


@lru_cache(maxsize=4)
def load_csv(name: str) -> list[dict[str, str]]:
    """The rows of a CSV file of the folder."""
    with (Path(_FOLDER or "") / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
