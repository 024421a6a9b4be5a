"""Every kind of store, each empty and each on the real thing."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import backends
import botocore.session
import pytest
import store_process
from difficult_server import Fault, Plan, Rule, make_difficult
from e2e.cluster.programs.bucket import serve
from rgw_server import RgwServer, missing_rgw, serve_rgw
from s3_server import BUCKET, S3Server, User, let_anybody_in, serve_s3

from evoptim.store import Store, open_store

SERVERS = {
    backends.MOTO: "s3_server",
    backends.CEPH: "rgw_server",
    backends.SMALL_BUCKET: "small_bucket",
}
"""The fixture that has each."""


@pytest.fixture(scope="session", autouse=True)
def models_of_services() -> Iterator[None]:
    """Every client has its own session, which would read botocore's large files again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", cache(botocore.session.create_loader))
        yield


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """One that lets anybody in and has the bucket."""
    with serve_s3(page=backends.PAGE) as server:
        server.create_bucket()
        let_anybody_in(server.client())
        yield server


@pytest.fixture(scope="session")
def rgw_server() -> Iterator[RgwServer]:
    """Ceph's, with the bucket, open to the unsigned; one for all tests, for it starts slowly."""
    if reason := missing_rgw():
        pytest.skip(reason)
    with serve_rgw(page=backends.PAGE) as server:
        server.create_bucket()
        let_anybody_in(server.client())
        yield server


@pytest.fixture(scope="session")
def small_bucket() -> Iterator[S3Server]:
    """The one that cluster tests start where there is no S3."""
    server = serve(0, "127.0.0.1", page=backends.PAGE)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield S3Server(f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()
    thread.join()


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


@pytest.fixture(params=backends.ALL)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param in (backends.FOLDER, backends.NO_HARD_LINKS):
        if request.param == backends.NO_HARD_LINKS:
            request.getfixturevalue("no_hard_links")
        yield open_store(str(tmp_path / "store"))
        return
    kind = request.param.removesuffix(backends.IGNORING)
    request.getfixturevalue("no_aws")
    server = request.getfixturevalue(SERVERS[kind])
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        for name, value in server.environment().items():
            patch.setenv(name, value)
        if kind != request.param:
            plan = Plan(Rule(Fault.UNCONDITIONAL))
            proxy = stack.enter_context(make_difficult(server.endpoint, plan))
            patch.setenv("AWS_ENDPOINT_URL", proxy)
        yield open_store(f"s3://{BUCKET}/{uuid.uuid4().hex}")
