"""Every kind of store, each empty and each on the real thing."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import botocore.session
import pytest
import store_process
from s3_server import BUCKET, S3Server, User, serve_s3

from evoptim.store import Store, open_store


@pytest.fixture(scope="session", autouse=True)
def models_of_services() -> Iterator[None]:
    """Every client has its own session, which would read botocore's large files again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", cache(botocore.session.create_loader))
        yield


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """One that lets anybody in and has the bucket."""
    with serve_s3() as server:
        server.create_bucket()
        yield server


@pytest.fixture(scope="session")
def guarded_s3_server() -> Iterator[tuple[S3Server, User, User]]:
    """One with the bucket, a user who may do all there and a user who may do nothing."""
    with serve_s3() as server:
        server.create_bucket()
        yield server, *server.require_credentials()


@pytest.fixture
def no_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of whoever runs the tests reaches boto3."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def s3_url(s3_server: S3Server, no_aws: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """A prefix of its own on the open server, to which boto3's environment points."""
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{uuid.uuid4().hex}"


@pytest.fixture
def no_hard_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system such as FAT: the kernel refuses links, everything else is real."""
    monkeypatch.setattr(os, "link", store_process.refuse_to_link)
    monkeypatch.setenv(store_process.NO_HARD_LINKS, "1")


@pytest.fixture(params=["folder", "folder without hard links", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "s3":
        return open_store(request.getfixturevalue("s3_url"))
    if request.param == "folder without hard links":
        request.getfixturevalue("no_hard_links")
    return open_store(str(tmp_path / "store"))
