"""Whether pods really start, and see the store: one small Job for each kind of pod."""

import time
import uuid
from collections.abc import Iterator
from typing import Any

from pipelines.doctor.finding import Finding
from pipelines.job_status import pod_trouble, read_status
from pipelines.kubernetes_api import ApiError, Cluster
from pipelines.pod import CONTAINER, labels, pod_template, queue_labels
from pipelines.profile import ClusterProfile, Role
from pipelines.submit.access import Access
from pipelines.submit.jobs import delete_job

Object = dict[str, Any]

VERBS = (
    Access("batch", "jobs", "create", "doctor --deep"),
    Access("batch", "jobs", "get", "doctor --deep"),
)
"""What this check asks of the cluster, beside what following a run asks."""

_POLL_SECONDS = 2.0
# A pod that ended is known a little later to its Job.
_WORDS: dict[Role, str] = {"worker": "a training pod", "search": "a step"}


def check_pods(
    cluster: Cluster,
    profile: ClusterProfile,
    store: str,
    seconds: float,
    poll_seconds: float = _POLL_SECONDS,
) -> Iterator[Finding]:
    """Run ``evoptim health`` in each kind of pod.

    Args:
        cluster: The cluster.
        profile: How pods run.
        store: URL of the store that the pods must see.
        seconds: How long each may take, pulling the image included.
        poll_seconds: Between two looks.
    """
    roles: tuple[Role, Role] = ("worker", "search")
    for role in roles:
        job = trial_job(profile, role, store, int(seconds))
        name = job["metadata"]["name"]
        path = f"/apis/batch/v1/namespaces/{profile.namespace}/jobs"
        try:
            cluster.request("POST", path, body=job)
        except ApiError as error:
            yield Finding("pods", "failed", f"the cluster refuses {_WORDS[role]} ({error})")
            continue
        try:
            yield _outcome(cluster, profile, role, name, seconds, poll_seconds)
        finally:
            delete_job(cluster, profile.namespace, name)


def trial_job(profile: ClusterProfile, role: Role, store: str, seconds: int) -> Object:
    """A Job of one pod that looks whether a step could run in it."""
    template = pod_template(
        profile, role, ["health", "--store", store], timeout_seconds=max(60, seconds)
    )
    queued = queue_labels(profile) if role == "worker" else {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"evoptim-doctor-{role}-{uuid.uuid4().hex[:8]}",
            "namespace": profile.namespace,
            "labels": {**labels(profile, role), **queued},
        },
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "activeDeadlineSeconds": max(60, seconds),
            "ttlSecondsAfterFinished": 600,
            "template": template,
        },
    }


def _outcome(
    cluster: Cluster,
    profile: ClusterProfile,
    role: Role,
    name: str,
    seconds: float,
    poll_seconds: float,
) -> Finding:
    """Wait until the pod has ended, or cannot start."""
    path = f"/apis/batch/v1/namespaces/{profile.namespace}/jobs/{name}"
    deadline = time.monotonic() + seconds
    while True:
        status = read_status(cluster.request("GET", path))
        pod = _pod(cluster, profile.namespace, name)
        if status.state == "complete":
            told = f"{_WORDS[role]} started, and all is sound in it"
            return Finding("pods", "ok", f"{told}: {_last_line(cluster, profile.namespace, pod)}")
        if status.ended or time.monotonic() > deadline:
            why = (pod_trouble(pod) if pod else None) or status.message or status.state
            verb = "failed" if status.ended else f"was not done in {seconds:.0f} s"
            return Finding("pods", "failed", f"{_WORDS[role]} {verb} ({why})", _remedy(why))
        time.sleep(poll_seconds)


def _remedy(why: str) -> str:
    remedies = {
        "ImagePull": "push the image, correct its name, or name a Secret in image_pull_secrets",
        "Unschedulable": "correct resources, node_selector or tolerations, or add nodes",
        "suspended": "the queue has no room: see its ClusterQueue",
        "CreateContainerConfigError": "make the Secret or ConfigMap that it names",
    }
    for part, remedy in remedies.items():
        if part in why:
            return remedy
    return "correct what it says, in the profile or the cluster"


def _pod(cluster: Cluster, namespace: str, job: str) -> Object | None:
    query = {"labelSelector": f"batch.kubernetes.io/job-name={job}"}
    found = cluster.request("GET", f"/api/v1/namespaces/{namespace}/pods", query)
    items = found.get("items") or ()
    return dict(items[0]) if items else None


def _last_line(cluster: Cluster, namespace: str, pod: Object | None) -> str:
    if pod is None:
        return "it is gone already"
    path = f"/api/v1/namespaces/{namespace}/pods/{pod['metadata']['name']}/log"
    try:
        text = cluster.text(path, {"container": CONTAINER, "tailLines": "1"})
    except ApiError:
        return "its log is gone already"
    return text.strip() or "it printed nothing"
