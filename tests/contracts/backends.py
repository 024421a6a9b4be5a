"""The kinds of store that there are, by the names under which the fixture ``store`` makes them."""

from __future__ import annotations

import pytest

CEPH = "Ceph"
FOLDER = "folder"
MOTO = "moto"
NO_HARD_LINKS = "folder without hard links"
SMALL_BUCKET = "small bucket"
IGNORING = ", conditions ignored"
"""Behind what has this in its name, writes are conditional ones no longer."""


def slow(name: str) -> object:
    return pytest.param(name, marks=pytest.mark.slow)


EXCLUSIVE = [FOLDER, NO_HARD_LINKS, MOTO, SMALL_BUCKET, slow(CEPH)]
"""Of two writes to a key these refuse the second, however close they are."""
INCLUSIVE = [MOTO + IGNORING, slow(CEPH + IGNORING)]
"""These do not."""
ALL = [*EXCLUSIVE, slow(MOTO + IGNORING), slow(CEPH + IGNORING)]

PAGE = 100
"""Keys that servers list at once: fewer than a real one's thousand, so that few fill a page."""
