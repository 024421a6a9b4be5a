"""The bucket that cluster tests start where there is no S3 keeps the contract of stores too."""

from __future__ import annotations

import http.client
import socket
import threading
import uuid
from collections.abc import Iterator

import pytest
import test_store
from e2e.cluster.programs.bucket import serve

from evoptim.store import Store, check_writable, open_store


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = serve(0, "127.0.0.1")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def store(port: int, no_aws: None, monkeypatch: pytest.MonkeyPatch) -> Store:
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
    }.items():
        monkeypatch.setenv(name, value)
    return open_store(f"s3://evoptim/{uuid.uuid4().hex}")


class TestPut(test_store.TestPut):
    pass


class TestRaces(test_store.TestRaces):
    pass


class TestMissing(test_store.TestMissing):
    pass


class TestList(test_store.TestList):
    pass


class TestCheckWritable(test_store.TestCheckWritable):
    pass


def test_a_trial_object_can_be_removed_and_the_clock_read(store: Store) -> None:
    assert check_writable(store)
    store.put(".evoptim/trial/a", b"1")
    store.remove_trial(".evoptim/trial/a")  # type: ignore[attr-defined]
    assert not store.exists(".evoptim/trial/a")
    assert store.clock() is not None  # type: ignore[attr-defined]


def test_a_put_that_breaks_off_leaves_nothing(store: Store, port: int) -> None:
    key = f"/evoptim/{uuid.uuid4().hex}"
    with socket.create_connection(("127.0.0.1", port)) as connection:
        head = f"PUT {key} HTTP/1.1\r\nHost: any\r\nContent-Length: 100\r\n\r\n"
        connection.sendall(head.encode() + b"x" * 50)
    asked = http.client.HTTPConnection("127.0.0.1", port)
    asked.request("GET", key)
    assert asked.getresponse().status == 404
    asked.close()


def test_content_that_is_not_what_was_signed_is_refused(port: int) -> None:
    asked = http.client.HTTPConnection("127.0.0.1", port)
    asked.request("PUT", "/evoptim/torn", b"some", {"x-amz-content-sha256": "0" * 64})
    assert asked.getresponse().status == 400
    asked.close()
