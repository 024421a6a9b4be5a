"""A finished run of a few evaluations, for the tests of what is done with runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_run import finish, start

from evoptim.cache import CACHE_VARIABLE


@pytest.fixture(scope="session")
def image_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Images are cached beside the tests, not in the user's home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, image_cache: None) -> Path:
    """A store with one finished run, ``tiny``; nothing may change it."""
    store = tmp_path_factory.mktemp("finished")
    start(store)
    finish(store)
    return store


@pytest.fixture
def store(finished: Path, tmp_path: Path) -> Path:
    """A copy of that store, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "store"))
