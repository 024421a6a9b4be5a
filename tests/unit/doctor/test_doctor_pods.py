"""Pods that the examination starts when asked to."""

from __future__ import annotations

from pathlib import Path

import pytest
from examined_cluster import (
    bad,
    examine,
    job_ends,
)
from kubernetes_api.scripted_engines import FakeCluster


def test_pods_are_started_only_when_asked_and_leave_nothing(
    cluster: FakeCluster, store: Path
) -> None:
    assert cluster.seen("POST", "/jobs") == 0
    job_ends(cluster, "Complete", "store answers\n")
    findings = examine(store, start_pods=True)
    assert bad(findings) == []
    told = [each.told for each in findings if each.check == "pods"]
    assert told == [
        "a training pod started, and all is sound in it: store answers",
        "a step started, and all is sound in it: store answers",
    ]
    cluster.wait_for(lambda: not cluster.objects["jobs"])
    worker, search = (each["spec"]["template"]["spec"] for each in cluster.created)
    assert worker["serviceAccountName"] == "evoptim-worker"
    assert search["serviceAccountName"] == "evoptim-search"
    assert worker["containers"][0]["args"] == ["health", "--store", str(store)]


def test_a_pod_that_cannot_start_says_why(
    cluster: FakeCluster, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}
    state = {"name": "main", "state": {"waiting": waiting}}
    job_ends(cluster, "Failed", "", containerStatuses=[state])
    findings = [each for each in examine(store, start_pods=True) if each.check == "pods"]
    assert [each.verdict for each in findings] == ["failed", "failed"]
    assert "ImagePullBackOff" in findings[0].told
    assert "push the image" in findings[0].remedy
