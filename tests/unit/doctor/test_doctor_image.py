"""What the examination knows of the image without starting a pod."""

from __future__ import annotations

from pathlib import Path

import pytest
from examined_cluster import (
    Case,
    assert_found,
    bad,
    examine,
    node,
    untouched,
)
from kubernetes_api.scripted_engines import FakeCluster


def failed_pull(cluster: FakeCluster) -> None:
    message = 'Failed to pull image "registry.example/evoptim:1": not found'
    about = {"kind": "Pod"}
    event = {"reason": "Failed", "involvedObject": about, "message": message}
    later = {"metadata": {"name": "failed"}, "lastTimestamp": "2026-01-02T00:00:00Z"}
    cluster.put("events", {**event, **later})


CASES = [
    Case(
        "a failed pull",
        failed_pull,
        {},
        "image",
        "failed",
        'the last pull of registry.example/evoptim:1 failed: Failed to pull image "registry',
    ),
    Case(
        "an image that nobody pulled",
        lambda cluster: cluster.objects["events"].clear(),
        {},
        "image",
        "unknown",
        "nothing has pulled registry.example/evoptim:1 in evoptim lately",
    ),
    Case(
        "an image without a tag",
        untouched,
        {"image": "registry.example/evoptim"},
        "image",
        "warning",
        "may be another image on every node",
    ),
    Case(
        "an image without a registry",
        untouched,
        {"image": "evoptim:dev", "image_pull_policy": "Always"},
        "image",
        "warning",
        "names no registry, so it is pulled from docker.io",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_what_is_wrong_is_found_and_the_rest_looked_at(
    cluster: FakeCluster, store: Path, case: Case
) -> None:
    assert_found(cluster, store, case)


def test_an_image_on_the_nodes_need_not_be_pulled(cluster: FakeCluster, store: Path) -> None:
    cluster.objects["events"].clear()
    there = {"names": ["docker.io/library/evoptim:dev"]}
    cluster.found["/api/v1/nodes"] = {"items": [node("one", images=[there])]}
    assert bad(examine(store, image="evoptim:dev")) == []
