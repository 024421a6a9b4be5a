"""Whether the API server answers, and what this user and the pods may do there."""

import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone

from evoptim.errors import InfrastructureError
from pipelines.doctor.finding import Finding, Verdict
from pipelines.kubernetes_api import ApiError, Cluster, ForbiddenError, Object
from pipelines.profile import ClusterProfile
from pipelines.submit.access import Access
from pipelines.submit.argo import VERBS as ARGO_VERBS
from pipelines.submit.jobs import VERBS as JOB_VERBS
from pipelines.submit.pod_logs import VERBS as LOG_VERBS
from pipelines.submit.record import Target

FAN_OUT_VERBS = (
    *(Access("batch", "jobs", verb, "fan-out") for verb in ("create", "get", "list", "watch")),
    Access("batch", "jobs", "delete", "fan-out"),
    Access("", "pods", "get", "fan-out"),
    Access("", "pods", "list", "fan-out"),
    Access("", "events", "list", "fan-out"),
)
"""What the step that watches an Indexed Job does."""

SUBMITTER_ROLE = "evoptim-submitter"
"""The manifests' Role for whoever submits: exactly what these verbs are."""
LOOK_VERBS = (
    *(
        Access("", resource, "get", "doctor")
        for resource in ("configmaps", "namespaces", "persistentvolumeclaims", "serviceaccounts")
    ),
    *(
        Access("", resource, "list", "doctor")
        for resource in ("events", "limitranges", "resourcequotas")
    ),
    Access("authorization.k8s.io", "localsubjectaccessreviews", "create", "doctor"),
)
"""What the examination looks at in the namespace, beside Secrets: who may get one may read it.

Whoever may not look is told so, and the rest is examined all the same."""
QUEUE_VERBS = (Access("kueue.x-k8s.io", "localqueues", "get", "doctor"),)
"""What it looks at where training pods wait in a queue."""

# S3 refuses requests that are off by 15 minutes; tokens are checked to the minute.
_SKEW_WARNING = 30.0
_SKEW_LIMIT = 300.0

_REVIEWS = "/apis/authorization.k8s.io/v1"


def check_server(cluster: Cluster) -> Iterator[Finding]:
    """Whether the API server answers and how its clock goes."""
    try:
        version = cluster.request("GET", "/version").get("gitVersion", "of unknown version")
    except ApiError as error:
        raise InfrastructureError(
            f"{cluster.address} does not answer as an API server of Kubernetes does ({error}): "
            "correct KUBECONFIG"
        ) from None
    yield Finding("API server", "ok", f"{cluster.address} answers, Kubernetes {version}")
    before = time.time()
    told = cluster.clock()
    if told is not None:
        yield clock_finding("the API server", told, (before + time.time()) / 2)


def clock_finding(whose: str, told: datetime, here: float) -> Finding:
    """Compare a server's time, to the second, with this machine's, in seconds since 1970."""
    aware = told if told.tzinfo else told.replace(tzinfo=timezone.utc)
    skew = here - aware.timestamp()
    # A header is up to a second old by its resolution alone.
    told_text = (
        f"this machine's clock and that of {whose} differ by {max(0.0, abs(skew) - 1):.0f} s"
    )
    if abs(skew) <= _SKEW_WARNING:
        return Finding("clock", "ok", told_text)
    behind = "ahead" if skew > 0 else "behind"
    remedy = f"this one is {behind}: let both follow a time server (NTP)"
    return Finding("clock", "failed" if abs(skew) > _SKEW_LIMIT else "warning", told_text, remedy)


def user_verbs(target: Target) -> tuple[Access, ...]:
    """What submitting and following a run asks of the cluster's API."""
    return (*(ARGO_VERBS if target == "argo" else ()), *JOB_VERBS, *LOG_VERBS)


def check_user(
    cluster: Cluster, profile: ClusterProfile, target: Target, more: Iterable[Access] = ()
) -> Iterator[Finding]:
    """Whether whoever asks may submit and follow."""
    wanted = (*user_verbs(target), *more)
    refused = [each for each in wanted if not _may(cluster, profile.namespace, each)]
    if not refused:
        yield Finding("your rights", "ok", f"you may do all that is needed in {profile.namespace}")
    for each in refused:
        # KFP starts and ends runs itself; only the view of Jobs and logs goes missing.
        verdict: Verdict = (
            "failed" if target == "argo" or each not in user_verbs(target) else "warning"
        )
        yield Finding(
            "your rights",
            verdict,
            f"you may not {each} in {profile.namespace}, which {each.purpose} needs",
            f"have the manifests' Role {SUBMITTER_ROLE} bound to you",
        )


def check_steps(cluster: Cluster, profile: ClusterProfile) -> Iterator[Finding]:
    """Whether the account of the steps may run the Job fan-out."""
    account = profile.steps.service_account
    user = f"system:serviceaccount:{profile.namespace}:{account}"
    try:
        refused = [
            each for each in FAN_OUT_VERBS if not _may(cluster, profile.namespace, each, user)
        ]
    except ForbiddenError:
        yield Finding(
            "pods' rights",
            "unknown",
            f"you may not ask what the service account {account} may do",
            f"run evoptim doctor in a pod of it, or kubectl auth can-i --as={user} create jobs "
            f"-n {profile.namespace}",
        )
        return
    if not refused:
        yield Finding("pods' rights", "ok", f"the service account {account} may run the fan-out")
        return
    listed = ", ".join(map(str, refused))
    yield Finding(
        "pods' rights",
        "failed",
        f"the service account {account} may not {listed} in {profile.namespace}",
        "apply the manifests: their Role evoptim-search allows it",
    )


def _may(cluster: Cluster, namespace: str, access: Access, user: str | None = None) -> bool:
    resource, _, subresource = access.resource.partition("/")
    attributes = {
        "namespace": namespace,
        "group": access.group,
        "resource": resource,
        "verb": access.verb,
        **({"subresource": subresource} if subresource else {}),
    }
    spec: Object = {"resourceAttributes": attributes}
    if user is None:
        path, kind = f"{_REVIEWS}/selfsubjectaccessreviews", "SelfSubjectAccessReview"
        metadata: Object = {}
    else:
        # The review of the namespace: its administrators may make it.
        path = f"{_REVIEWS}/namespaces/{namespace}/localsubjectaccessreviews"
        kind, metadata = "LocalSubjectAccessReview", {"namespace": namespace}
        account_groups = [
            "system:serviceaccounts",
            f"system:serviceaccounts:{namespace}",
            "system:authenticated",
        ]
        spec = {**spec, "user": user, "groups": account_groups}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": kind,
        "metadata": metadata,
        "spec": spec,
    }
    answer = cluster.request("POST", path, body=body)
    return (answer.get("status") or {}).get("allowed") is True
