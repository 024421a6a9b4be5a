"""A small search that ran once, on which many tests look; and an environment of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from s3_server import BUCKET, S3Server, serve_s3
from small_search import Finished, arguments, on_a_terminal, search_by_steps, small_config

from evoptim.store import check_writable, open_store


@pytest.fixture(scope="session", autouse=True)
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No setting of whoever runs the tests reaches a search, and no search their cache."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("AWS_") or name in ("EVOPTIM_STORE", "EVOPTIM_WORKERS"):
                patch.delenv(name)
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            patch.setenv(name, os.devnull)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("EVOPTIM_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, environment: None) -> Finished:
    """A small search by its steps, in seconds: for tests of what is done with its store."""
    found = Finished(_folder(tmp_path_factory), output="")
    # As a search begins.
    check_writable(open_store(str(found.store)))
    search_by_steps(str(found.store), small_config())
    return found


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory, environment: None) -> Finished:
    """The same search by the program and the real engine, for tests of that; nobody interrupted."""
    folder = _folder(tmp_path_factory)
    done, screen = on_a_terminal(*arguments(), cwd=folder)
    assert done.returncode == 0, screen[-500:]
    return Finished(folder, done.stdout, screen)


def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whose name is not plain."""
    folder = tmp_path_factory.mktemp("search") / "a folder, ünï 漢"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """One that lets anybody in and has the bucket."""
    with serve_s3() as server:
        server.create_bucket()
        yield server


@pytest.fixture
def s3_url(s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A prefix of its own on the open server, to which boto3's environment points."""
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{tmp_path.name}"
