"""The bucket that cluster tests start where there is no S3, beside the contract of stores."""

from __future__ import annotations

import http.client
import socket
import uuid
from urllib.parse import urlsplit

import backends
import pytest
from s3_server import S3Server

from evoptim.store import check_writable
from evoptim.store.s3 import S3Store


@pytest.fixture
def port(small_bucket: S3Server) -> int:
    return urlsplit(small_bucket.endpoint).port or 0


@pytest.mark.parametrize("store", [backends.SMALL_BUCKET], indirect=True)
def test_a_trial_object_can_be_removed_and_the_clock_read(store: S3Store) -> None:
    assert check_writable(store)
    store.put(".evoptim/trial/a", b"1")
    store.remove_trial(".evoptim/trial/a")
    assert not store.exists(".evoptim/trial/a")
    assert store.clock() is not None


def test_a_put_that_breaks_off_leaves_nothing(port: int) -> None:
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
