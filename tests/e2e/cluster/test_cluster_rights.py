"""The manifests on a real cluster: they apply, and they hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cluster_search import RUN
from given_cluster import Namespace, apply, token_cluster

from evoptim.store import Stage
from pipelines.job import Work, build_job
from pipelines.kubernetes_api import Cluster, ForbiddenError

Object = dict[str, Any]
TRY = {"dryRun": "All"}


def test_the_manifests_are_in_the_cluster_and_can_be_applied_again(
    namespace: Namespace, manifests: list[Object]
) -> None:
    for each in manifests:
        apply(namespace.cluster, each, dry_run=True)
    found = namespace.read(f"/api/v1/namespaces/{namespace.name}") or {}
    labels = found["metadata"]["labels"]
    for mode in ("enforce", "audit", "warn"):
        assert labels[f"pod-security.kubernetes.io/{mode}"] == "restricted"


def test_a_pod_that_is_not_restricted_is_refused(namespace: Namespace) -> None:
    container = {
        "name": "main",
        "image": namespace.given.image,
        "securityContext": {"privileged": True},
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "privileged", "namespace": namespace.name},
        "spec": {"containers": [container]},
    }
    with pytest.raises(ForbiddenError, match="violates PodSecurity"):
        namespace.cluster.request("POST", namespace.path("pods"), TRY, pod)


@pytest.fixture(scope="module")
def search(namespace: Namespace) -> Cluster:
    """The cluster with a token of the account of the steps."""
    return token_cluster(namespace, "evoptim-search")


def a_job(namespace: Namespace) -> Object:
    work = Work("s3://bucket/nowhere", RUN, Stage.generation(0), 1)
    return build_job(namespace.profile(), work, [0], 1)


def test_the_steps_account_may_do_what_a_fan_out_takes(
    namespace: Namespace, search: Cluster
) -> None:
    job = a_job(namespace)
    name = job["metadata"]["name"]
    made = search.request("POST", namespace.jobs_path(), body={**job, "spec": suspended(job)})
    try:
        assert search.request("GET", namespace.jobs_path(name))["metadata"]["name"] == name
        version = made["metadata"]["resourceVersion"]
        query = {"fieldSelector": f"metadata.name={name}", "resourceVersion": version}
        for _ in search.watch(namespace.jobs_path(), query, 1):
            break
        for kind in ("pods", "events"):
            search.request("GET", namespace.path(kind), {"limit": "1"})
    finally:
        search.request(
            "DELETE", namespace.jobs_path(name), body={"propagationPolicy": "Background"}
        )


def suspended(job: Object) -> Object:
    """The specification of a Job of which no pod starts."""
    return {**job["spec"], "suspend": True}


FORBIDDEN: dict[str, Callable[[Namespace, Cluster], object]] = {
    "read secrets": lambda at, user: user.request("GET", at.path("secrets")),
    "read one secret": lambda at, user: user.request("GET", at.path("secrets", "evoptim-s3")),
    "create pods": lambda at, user: user.request("POST", at.path("pods"), TRY, {}),
    "delete pods": lambda at, user: user.request("DELETE", at.path("pods", "any"), TRY),
    "change jobs": lambda at, user: user.request("PATCH", at.jobs_path("any"), TRY, {}),
    "enter pods": lambda at, user: user.request("POST", f"{at.path('pods', 'any')}/exec"),
    "give itself a role": lambda at, user: user.request(
        "PATCH",
        at.path("roles", "evoptim-search", "/apis/rbac.authorization.k8s.io/v1"),
        TRY,
        {"rules": []},
    ),
    "look into other namespaces": lambda at, user: user.request(
        "GET", "/apis/batch/v1/namespaces/kube-system/jobs"
    ),
    "list nodes": lambda at, user: user.request("GET", "/api/v1/nodes"),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_a_forbidden_verb_is_forbidden(namespace: Namespace, search: Cluster, what: str) -> None:
    with pytest.raises(ForbiddenError, match=r'evoptim-search" cannot'):
        FORBIDDEN[what](namespace, search)


@pytest.mark.parametrize("kind", ["jobs", "pods", "secrets"])
def test_the_account_that_trains_may_do_nothing(namespace: Namespace, kind: str) -> None:
    path = namespace.jobs_path() if kind == "jobs" else namespace.path(kind)
    with pytest.raises(ForbiddenError):
        token_cluster(namespace, "evoptim-worker").request("GET", path)
