"""A finished run of a few evaluations, for the tests of what is done with runs."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tiny_run import finish, start, tiny_config

from evoptim.cache import CACHE_VARIABLE

if TYPE_CHECKING:
    from argo_engine import Engine
    from argo_search import Pods, Search

    from pipelines.profile import ClusterProfile


@pytest.fixture(scope="session")
def image_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Images and kernels are cached beside the tests, not in the user's home."""
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


@pytest.fixture
def pods(tmp_path: Path, image_cache: None) -> Iterator[Pods]:
    """The pods of a workflow, which do their work here."""
    from argo_search import Pods

    before = signal.getsignal(signal.SIGTERM)
    yield Pods(tmp_path / "store")
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def search(pods: Pods) -> Search:
    """Makes a workflow of the tiny run."""
    from argo_engine import Engine

    from pipelines.argo import search_template
    from pipelines.profile import ClusterProfile

    def make(
        profile: ClusterProfile | None = None,
        fan_out: Any = "loop",
        parameters: dict[str, str] | None = None,
        **changes: Any,
    ) -> Engine:
        workflow = search_template(profile or ClusterProfile(), fan_out, tiny_config(**changes))
        given = {"store": str(pods.store), "run": "tiny", **(parameters or {})}
        return Engine(workflow, pods, **given)

    return make
