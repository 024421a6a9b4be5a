"""Quotas, limits and nodes: whether the examination finds room for the pods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from examined_cluster import (
    NS,
    Case,
    assert_found,
    bad,
    change,
    examine,
    node,
    untouched,
)
from kubernetes_api.scripted_engines import FakeCluster


def quota(**hard: str) -> dict[str, Any]:
    named = {key.replace("__", "."): value for key, value in hard.items()}
    return {"items": [{"metadata": {"name": "q"}, "spec": {"hard": named}}]}


def limits(**limit: dict[str, str]) -> dict[str, Any]:
    each = {"type": "Container", **limit}
    return {"items": [{"metadata": {"name": "l"}, "spec": {"limits": [each]}}]}


CASES = [
    Case(
        "no room in the quota",
        change(f"{NS}/resourcequotas", quota(requests__cpu="1")),
        {},
        "quota",
        "failed",
        "no room for one training pod and one step: requests.cpu (needs 1.25 of 1)",
    ),
    Case(
        "no GPU in the quota",
        change(f"{NS}/resourcequotas", {**quota(**{"requests.nvidia.com/gpu": "0"})}),
        {"workers.resources.gpu": 1},
        "quota",
        "failed",
        "requests.nvidia.com/gpu (needs 1 of 0)",
    ),
    Case(
        "a small quota",
        change(f"{NS}/resourcequotas", quota(requests__cpu="4")),
        {},
        "quota",
        "warning",
        "too small for 8 training pods at once: requests.cpu (needs 8.25 of 4)",
    ),
    Case(
        "a low limit",
        change(f"{NS}/limitranges", limits(max={"memory": "1Gi"})),
        {},
        "limits",
        "failed",
        "a training pod takes 2147483648 memory, l allows 1073741824",
    ),
    Case(
        "a high minimum",
        change(f"{NS}/limitranges", limits(min={"cpu": "2"})),
        {},
        "limits",
        "failed",
        "a step asks for 0.250 cpu, l demands 2",
    ),
    Case(
        "no GPU",
        untouched,
        {"workers.resources.gpu": 1},
        "GPUs",
        "failed",
        "no node offers nvidia.com/gpu: install the device plugin",
    ),
    Case(
        "another label",
        untouched,
        {"workers.node_selector": {"gpu": "a100"}},
        "nodes",
        "failed",
        "none of 2 nodes can take a training pod (2 × without the label gpu=a100)",
    ),
    Case(
        "tainted, cordoned and small nodes",
        change(
            "/api/v1/nodes",
            {
                "items": [
                    node("a", spec={"taints": [{"key": "gpu", "effect": "NoSchedule"}]}),
                    node("b", spec={"unschedulable": True}),
                    node("c", cpu="100m"),
                ]
            },
        ),
        {},
        "nodes",
        "failed",
        "(1 × cordoned, 1 × tainted gpu, 1 × too little cpu)",
    ),
    Case(
        "no right to look at nodes",
        lambda cluster: cluster.forbidden.add("/api/v1/nodes"),
        {},
        "nodes",
        "unknown",
        "ask somebody who may look",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_what_is_wrong_is_found_and_the_rest_looked_at(
    cluster: FakeCluster, store: Path, case: Case
) -> None:
    assert_found(cluster, store, case)


def test_gpu_nodes_are_found_by_label_taint_and_number(cluster: FakeCluster, store: Path) -> None:
    labels = {"nvidia.com/gpu.product": "H100", "generation": "9"}
    taint = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
    gpus = {"nvidia.com/gpu": "8"}
    ours = node("gpu", labels=labels, spec={"taints": [taint]}, **gpus)
    cluster.found["/api/v1/nodes"] = {"items": [node("cpu"), ours]}
    wanted = {
        "workers.resources.gpu": 1,
        "workers.node_selector": {"nvidia.com/gpu.product": "H100"},
        "workers.node_affinity": [
            {"expressions": [{"key": "generation", "operator": "Gt", "values": ["8"]}]}
        ],
        "workers.tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
    }
    findings = examine(store, **wanted)
    assert bad(findings) == []
    told = [each.told for each in findings if each.check in ("GPUs", "nodes")]
    assert told[:2] == ["the nodes offer 8 nvidia.com/gpu", "1 of 2 nodes can take a training pod"]
    assert ("nodes", "failed") in bad(examine(store, **{**wanted, "workers.tolerations": []}))
    more = {**wanted, "workers.resources.gpu": 16}
    assert ("nodes", "failed") in bad(examine(store, **more))
