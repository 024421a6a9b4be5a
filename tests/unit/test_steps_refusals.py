"""What steps refuse: inputs that are not there yet, are broken, or are not those of the run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from image_files import write_folder
from tiny_run import baselines, finish, generation, objects, start, tiny_config

from evoptim import steps
from evoptim.config import RunConfig, TaskSpec
from evoptim.errors import InfrastructureError, InputError
from evoptim.steps.initialise import resolve_data, write_config
from evoptim.store import open_store
from evoptim.tasks.cache import CACHE_VARIABLE


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Images are cached beside the tests, not in the user's home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield
