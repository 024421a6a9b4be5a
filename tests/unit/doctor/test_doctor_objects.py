"""Objects of the namespace that the examination finds missing or unfit."""

from __future__ import annotations

from pathlib import Path

import pytest
from examined_cluster import (
    KUEUE,
    NS,
    QUEUE,
    Case,
    assert_found,
    bad,
    change,
    examine,
    lose,
    untouched,
)
from kubernetes_api.scripted_engines import FakeCluster

CASES = [
    Case("no namespace", lose(NS), {}, "namespace", "failed", "no namespace evoptim: apply"),
    Case(
        "Pod Security",
        untouched,
        {"security.run_as_non_root": False},
        "namespace",
        "failed",
        "restricted, which refuses pods with run_as_non_root: false",
    ),
    Case(
        "no priority",
        lose("/apis/scheduling.k8s.io/v1/priorityclasses/evoptim-worker"),
        {},
        "priorities",
        "failed",
        "no PriorityClass evoptim-worker",
    ),
    Case(
        "no secret",
        lose(f"{NS}/secrets/evoptim-s3"),
        {},
        "secrets",
        "failed",
        "no Secret evoptim-s3: make it: kubectl create secret generic evoptim-s3",
    ),
    Case(
        "a key is missing",
        change(f"{NS}/secrets/evoptim-s3", {"data": {"AWS_ACCESS_KEY_ID": "a2V5"}}),
        {},
        "secrets",
        "failed",
        "the Secret evoptim-s3 lacks AWS_SECRET_ACCESS_KEY",
    ),
    Case(
        "a key is empty",
        change(
            f"{NS}/secrets/evoptim-s3",
            {"data": {"AWS_ACCESS_KEY_ID": "a2V5", "AWS_SECRET_ACCESS_KEY": ""}},
        ),
        {},
        "secrets",
        "failed",
        "the Secret evoptim-s3 lacks AWS_SECRET_ACCESS_KEY",
    ),
    Case(
        "no settings",
        lose(f"{NS}/configmaps/evoptim-store"),
        {},
        "settings",
        "warning",
        "no ConfigMap evoptim-store, which is optional",
    ),
    Case(
        "no pull secret",
        untouched,
        {"image_pull_secrets": ["registry"]},
        "secrets",
        "failed",
        "no Secret registry to pull the image with",
    ),
    Case(
        "no claim",
        lose(f"{NS}/persistentvolumeclaims/runs"),
        {},
        "mounts",
        "failed",
        "no claim runs to mount on",
    ),
    Case(
        "a claim without its volume",
        change(f"{NS}/persistentvolumeclaims/runs", {"status": {"phase": "Lost"}}),
        {},
        "mounts",
        "failed",
        "the claim runs is there, but has lost its volume",
    ),
    Case(
        "no Kueue",
        untouched,
        {"queue": QUEUE},
        "queue",
        "failed",
        "the cluster has no Kueue",
    ),
    Case(
        "no queue",
        change(KUEUE, {"preferredVersion": {"version": "v1beta2"}}),
        {"queue": QUEUE},
        "queue",
        "failed",
        "no LocalQueue evoptim in evoptim: Jobs would wait for ever",
    ),
    Case(
        "no right to look",
        lambda cluster: cluster.forbidden.add(f"{NS}/secrets"),
        {},
        "secrets",
        "unknown",
        "ask somebody who may look",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_what_is_wrong_is_found_and_the_rest_looked_at(
    cluster: FakeCluster, store: Path, case: Case
) -> None:
    assert_found(cluster, store, case)


def test_a_queue_at_work_is_sound_and_one_that_is_not_is_named(
    cluster: FakeCluster, store: Path
) -> None:
    path = f"{KUEUE}/v1beta1/namespaces/evoptim/localqueues/evoptim"
    active = {"type": "Active", "status": "True", "message": "can admit"}
    cluster.found[KUEUE] = {"preferredVersion": {"version": "v1beta1"}}
    cluster.found[path] = {"status": {"conditions": [active], "pendingWorkloads": 3}}
    assert bad(examine(store, queue=QUEUE)) == []
    stopped = {**active, "status": "False", "message": "the ClusterQueue is stopped"}
    cluster.found[path] = {"status": {"conditions": [stopped]}}
    assert ("queue", "failed") in bad(examine(store, queue=QUEUE))
