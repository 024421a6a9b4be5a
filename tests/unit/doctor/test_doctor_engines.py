"""Whether the examination finds the engine: Argo Workflows, or Kubeflow Pipelines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from examined_cluster import (
    Case,
    assert_found,
    bad,
    examine,
    lose,
)
from fake_kfp import FakeKfp, fake_kfp
from kubernetes_api.scripted_engines import FakeCluster


@pytest.fixture
def kfp(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKfp]:
    for name in ("KFP_TOKEN", "KFP_COOKIES", "KFP_NAMESPACE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    with fake_kfp() as server:
        server.shared = True
        monkeypatch.setenv("KFP_ENDPOINT", server.url)
        yield server


CASES = [
    Case(
        "no Argo",
        lose("/apis/argoproj.io/v1alpha1"),
        {},
        "engine",
        "failed",
        "has no Argo Workflows: install it",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_what_is_wrong_is_found_and_the_rest_looked_at(
    cluster: FakeCluster, store: Path, case: Case
) -> None:
    assert_found(cluster, store, case)


def test_kfp_is_asked_for_what_needs_a_login(
    cluster: FakeCluster, kfp: FakeKfp, store: Path
) -> None:
    assert bad(examine(store, "kfp")) == []
    kfp.token = "another"
    (told,) = [each for each in examine(store, "kfp") if each.verdict != "ok"]
    assert (told.check, told.verdict) == ("engine", "failed")
    assert "does not know these credentials" in told.told


def test_a_kfp_for_one_user_runs_pods_elsewhere(
    cluster: FakeCluster, kfp: FakeKfp, store: Path
) -> None:
    kfp.shared = False
    (told,) = [each for each in examine(store, "kfp") if each.verdict != "ok"]
    assert (told.check, told.verdict) == ("engine", "warning")
    assert "set the profile's namespace to kubeflow" in told.remedy


def test_with_kfp_the_rights_to_follow_jobs_are_no_condition(
    cluster: FakeCluster, kfp: FakeKfp, store: Path
) -> None:
    cluster.denied.add(("get", "pods/log"))
    assert bad(examine(store, "kfp")) == [("your rights", "warning")]
