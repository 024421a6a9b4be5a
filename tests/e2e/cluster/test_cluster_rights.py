"""The manifests on a real cluster: they apply, and they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from cluster_search import RUN
from given_cluster import OURS, Namespace, apply, token_cluster

from evoptim.store import Stage
from pipelines.doctor.access import LOOK_VERBS, SUBMITTER_ROLE, user_verbs
from pipelines.doctor.deep import VERBS as DEEP_VERBS
from pipelines.job import Work, build_job
from pipelines.kubernetes_api import ApiError, Cluster, ForbiddenError
from pipelines.submit.access import Access
from pipelines.submit.record import Target

Object = dict[str, Any]
TRY = {"dryRun": "All"}
RIGHTS = "rbac.authorization.k8s.io"
VERSIONS = {"argoproj.io": "v1alpha1"}


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


@pytest.fixture(scope="module")
def submitter(namespace: Namespace) -> Iterator[Cluster]:
    """The cluster as somebody sees it to whom the Role of submitters is bound, and nothing else."""
    name = "evoptim-e2e-submitter"
    metadata = {"name": name, "namespace": namespace.name, "labels": OURS}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
    binding = {
        "apiVersion": f"{RIGHTS}/v1",
        "kind": "RoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": RIGHTS, "kind": "Role", "name": SUBMITTER_ROLE},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace.name}],
    }
    for each in (account, binding):
        apply(namespace.cluster, each)
    yield token_cluster(namespace, name)
    namespace.remove(namespace.path("rolebindings", name, f"/apis/{RIGHTS}/v1"))
    namespace.remove(namespace.path("serviceaccounts", name))


_METHODS = {"create": "POST", "get": "GET", "list": "GET", "patch": "PATCH", "delete": "DELETE"}


def attempt(namespace: Namespace, user: Cluster, access: Access) -> None:
    """Ask for what a right allows, of an object that is not there; nothing is changed.

    Raises:
        ForbiddenError: the right is not granted.
    """
    resource, _, part = access.resource.partition("/")
    api = f"/apis/{access.group}/{VERSIONS.get(access.group, 'v1')}" if access.group else "/api/v1"
    name = "" if access.verb in ("create", "list") else "evoptim-e2e-nothing"
    path = f"{namespace.path(resource, name, api)}{f'/{part}' if part else ''}"
    if resource == "namespaces":
        path = f"/api/v1/namespaces/{namespace.name}"
    method = _METHODS[access.verb]
    with suppress(ApiError):
        user.request(method, path, {} if method == "GET" else TRY, None if method == "GET" else {})


def test_submitters_may_do_what_the_commands_do(
    namespace: Namespace, submitter: Cluster, components: tuple[str, ...]
) -> None:
    target: Target = "argo" if "argo" in components else "kfp"
    for access in (*user_verbs(target), *DEEP_VERBS, *LOOK_VERBS):
        attempt(namespace, submitter, access)


@pytest.mark.parametrize(
    "access",
    [
        *(Access("", "secrets", verb, "theft") for verb in ("get", "list")),
        *(Access("", "pods", verb, "theft") for verb in ("create", "delete")),
        Access("", "configmaps", "list", "theft"),
        Access("batch", "jobs", "patch", "theft"),
        Access(RIGHTS, "roles", "patch", "theft"),
    ],
    ids=str,
)
def test_submitters_may_do_no_more(
    namespace: Namespace, submitter: Cluster, access: Access
) -> None:
    with pytest.raises(ForbiddenError, match=r'submitter" cannot'):
        attempt(namespace, submitter, access)


@pytest.mark.parametrize("kind", ["jobs", "pods", "secrets"])
def test_the_account_that_trains_may_do_nothing(namespace: Namespace, kind: str) -> None:
    path = namespace.jobs_path() if kind == "jobs" else namespace.path(kind)
    with pytest.raises(ForbiddenError):
        token_cluster(namespace, "evoptim-worker").request("GET", path)
