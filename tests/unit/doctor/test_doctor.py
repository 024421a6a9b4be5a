"""The examination of a cluster as a whole: one that is sound, and one that is not there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from examined_cluster import (
    Case,
    assert_found,
    bad,
    examine,
)
from kubernetes_api.scripted_engines import FakeCluster
from kubernetes_api.wire import write_kubeconfig

CASES = [
    Case(
        "a clock that is off",
        lambda cluster: setattr(cluster, "skew", timedelta(minutes=10)),
        {},
        "clock",
        "failed",
        "this one is behind: let both follow a time server",
    ),
    Case(
        "a clock that is a little off",
        lambda cluster: setattr(cluster, "skew", timedelta(minutes=-1)),
        {},
        "clock",
        "warning",
        "this one is ahead",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_what_is_wrong_is_found_and_the_rest_looked_at(
    cluster: FakeCluster, store: Path, case: Case
) -> None:
    assert_found(cluster, store, case)


def test_a_sound_cluster_has_no_bad_finding(cluster: FakeCluster, store: Path) -> None:
    findings = examine(store)
    assert bad(findings) == []
    checks = {each.check for each in findings}
    assert checks == {
        *("API server", "clock", "engine", "namespace", "your rights", "pods' rights"),
        *("accounts", "priorities", "secrets", "settings", "mounts", "quota", "nodes", "image"),
        "store",
    }


def test_no_value_of_a_secret_is_shown(cluster: FakeCluster, store: Path) -> None:
    told = " ".join(map(str, examine(store)))
    assert "AWS_SECRET_ACCESS_KEY" in told
    assert "c2VjcmV0" not in told


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda c: setattr(c, "down", True), "run the same command again when it is back"),
        (lambda c: c.fail("401"), "does not know these credentials"),
    ],
)
def test_without_the_api_server_the_store_is_still_looked_at(
    cluster: FakeCluster, store: Path, spoil: Callable[[FakeCluster], None], text: str
) -> None:
    spoil(cluster)
    findings = examine(store)
    assert findings[0].check == "API server"
    assert findings[0].verdict == "failed"
    assert text in str(findings[0])
    assert {each.check for each in findings[1:]} == {"store"}


def test_a_web_server_is_no_api_server(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as whatever else listens at a mistyped address."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404)
            self.end_headers()
            self.wfile.write(b"<html>not found</html>")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        Thread(target=server.serve_forever).start()
        try:
            address = f"http://127.0.0.1:{server.server_port}"
            monkeypatch.setenv(
                "KUBECONFIG", str(write_kubeconfig(tmp_path / "config", address, "token"))
            )
            findings = examine(store)
        finally:
            server.shutdown()
    assert findings[0].check == "API server"
    assert findings[0].verdict == "failed"
    assert "does not answer as an API server of Kubernetes does" in str(findings[0])
    assert "correct KUBECONFIG" in str(findings[0])
