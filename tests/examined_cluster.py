"""A cluster that is examined: all that the manifests put there, and ways to spoil it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from cluster_run import cluster_profile
from kubernetes_api.scripted_engines import FakeCluster

from evoptim.verbs import diagnose
from pipelines.doctor import Finding
from pipelines.profile import ClusterProfile

NS = "/api/v1/namespaces/evoptim"
KUEUE = "/apis/kueue.x-k8s.io"
QUEUE = {"name": "evoptim", "priority_class": None, "min_parallelism": 1}
Spoil = Callable[[FakeCluster], Any]


class Case(NamedTuple):
    """One thing that is wrong, and what is found."""

    name: str
    spoil: Spoil
    changes: dict[str, Any]
    """Of the profile."""
    check: str
    verdict: str
    text: str


def node(name: str, **more: Any) -> dict[str, Any]:
    """A node that is ready, as large as given."""
    spec = more.pop("spec", {})
    labels = more.pop("labels", {})
    images = more.pop("images", [])
    allocatable = {"cpu": "8", "memory": "32145408Ki", "pods": "110", **more}
    ready = {"type": "Ready", "status": "True"}
    status = {"allocatable": allocatable, "conditions": [ready], "images": images}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": status}


def sound(cluster: FakeCluster) -> None:
    """Put everything there that the manifests put there."""
    credentials = {"AWS_ACCESS_KEY_ID": "a2V5", "AWS_SECRET_ACCESS_KEY": "c2VjcmV0"}
    settings = {
        "EVOPTIM_STORE": "s3://bucket",
        "AWS_ENDPOINT_URL": "http://s3",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    hard = {"requests.cpu": "32", "requests.memory": "96Gi", "pods": "200", "limits.cpu": "96"}
    used = {"requests.cpu": "250m", "requests.memory": "1Gi", "pods": "1", "limits.cpu": "2"}
    quota = {"metadata": {"name": "evoptim"}, "spec": {"hard": hard}, "status": {"used": used}}
    limit = {"type": "Container", "min": {"cpu": "10m"}, "max": {"cpu": "32", "memory": "128Gi"}}
    image = "registry.example/evoptim:1"
    pulled = {
        "metadata": {"name": "pulled"},
        "reason": "Pulled",
        "involvedObject": {"kind": "Pod"},
        "message": f'Successfully pulled image "{image}" in 2s',
        "lastTimestamp": "2026-01-01T00:00:00Z",
    }
    cluster.put("events", pulled)
    cluster.found.update(
        {
            "/apis/argoproj.io/v1alpha1": {"resources": [{"name": "workflows"}]},
            NS: {
                "metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
            },
            f"{NS}/secrets/evoptim-s3": {"data": credentials},
            f"{NS}/configmaps/evoptim-store": {"data": settings},
            f"{NS}/persistentvolumeclaims/runs": {"status": {"phase": "Bound"}},
            f"{NS}/resourcequotas": {"items": [quota]},
            f"{NS}/limitranges": {
                "items": [{"metadata": {"name": "evoptim"}, "spec": {"limits": [limit]}}]
            },
            "/api/v1/nodes": {"items": [node("one"), node("two")]},
        }
    )
    for name in ("search", "worker", "executor"):
        cluster.found[f"{NS}/serviceaccounts/evoptim-{name}"] = {}
    for name in ("search", "worker"):
        cluster.found[f"/apis/scheduling.k8s.io/v1/priorityclasses/evoptim-{name}"] = {}


def examine(store: Path, target: Any = "argo", **changes: Any) -> list[Finding]:
    start_pods = changes.pop("start_pods", False)
    profile: ClusterProfile = cluster_profile(store, **changes)
    return list(diagnose(profile, target, str(store), start_pods=start_pods, seconds=5.0))


def bad(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(each.check, each.verdict) for each in findings if each.verdict != "ok"]


def lose(path: str) -> Spoil:
    """An object is missing."""
    return lambda cluster: cluster.found.pop(path, None)


def change(path: str, value: Any) -> Spoil:
    """An object is another."""
    return lambda cluster: cluster.found.update({path: value})


def deny(verb: str, resource: str) -> Spoil:
    """A right is missing."""
    return lambda cluster: cluster.denied.add((verb, resource))


def job_ends(cluster: FakeCluster, condition: str, log: str, **status: Any) -> None:
    """Let every Job end at once, with one pod."""

    def on_create(job: dict[str, Any]) -> None:
        name = job["metadata"]["name"]
        labels = {"batch.kubernetes.io/job-name": name}
        phase = "Succeeded" if condition == "Complete" else "Failed"
        cluster.put_pod(f"{name}-x", phase, labels, log=log, **status)
        cluster.end(name, condition)

    cluster.on_create = on_create


def untouched(cluster: FakeCluster) -> None:
    """The cluster is sound; what is wrong is in the profile."""


def assert_found(cluster: FakeCluster, store: Path, case: Case) -> None:
    """What is wrong is found, and the rest is looked at all the same."""
    case.spoil(cluster)
    findings = examine(store, **case.changes)
    assert (case.check, case.verdict) in bad(findings)
    told = [str(each) for each in findings if (each.check, each.verdict) == case[3:5]]
    assert any(case.text in each for each in told), told
    assert findings[-1].check == "store"
