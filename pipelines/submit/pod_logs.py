"""What the pods of a run printed: of those that failed first, since they say why."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pipelines.job_status import pod_trouble
from pipelines.kubernetes_api import ApiError, Cluster
from pipelines.pod import CONTAINER, STAGE_LABEL
from pipelines.submit.access import Access

Object = dict[str, Any]

VERBS = (
    Access("", "pods", "list", "logs"),
    Access("", "pods/log", "get", "logs"),
)
"""What showing logs asks of pods."""

# Failed pods say why a run stands still; then what is at work, what waits, what is done.
_PHASES = ("Failed", "Running", "Pending", "Succeeded")
_NODE_NAME = "workflows.argoproj.io/node-name"
_INDEX = "batch.kubernetes.io/job-completion-index"
# Of a Job with thousands of pods.
_LISTED = 500


@dataclass(frozen=True)
class PodLog:
    """The end of what one pod printed."""

    pod: str
    step: str
    """What it is of the run: the engine's name for the step, or the stage and index of a Job."""
    phase: str
    """``Failed``, ``Running``, ``Pending`` or ``Succeeded``."""
    trouble: str | None
    """Why it failed or waits."""
    text: str
    """Its last lines; empty where it never started or is gone."""


def read_logs(
    cluster: Cluster,
    namespace: str,
    selectors: Iterable[str],
    step: str | None = None,
    tail: int = 50,
    most: int = 5,
) -> Iterator[PodLog]:
    """The logs of a run's pods.

    Args:
        cluster: The cluster.
        namespace: Where the pods are.
        selectors: Label selectors of the pods.
        step: A part of the pod's or the step's name; None for the pods that failed, or if none
            did for those at work, or that wait, or are done.
        tail: Lines of each, counted from the end.
        most: How many pods.

    Yields:
        One for each pod, those that ended first first.

    Raises:
        InputError, InfrastructureError: as ``Cluster.request``.
    """
    shown = 0
    chosen = tuple(selectors)
    for phase in _PHASES:
        for pod in list_pods(cluster, namespace, chosen, phase, step):
            if shown == most:
                return
            shown += 1
            yield _log(cluster, namespace, pod, phase, tail)
        if step is None and shown:
            return


def first_active(cluster: Cluster, namespace: str, selector: str) -> str | None:
    """Name of a pod that is at work or waits to be, or None."""
    for phase in ("Running", "Pending"):
        query = {
            "labelSelector": selector,
            "fieldSelector": f"status.phase={phase}",
            "limit": "1",
        }
        found = cluster.request("GET", _path(namespace), query).get("items") or ()
        for pod in found:
            return str(pod["metadata"]["name"])
    return None


def step_of(pod: Object) -> str:
    """What a pod is of its run."""
    metadata = pod["metadata"]
    labels, noted = metadata.get("labels") or {}, metadata.get("annotations") or {}
    node = noted.get(_NODE_NAME)
    if node:
        # The workflow's own name comes first.
        return str(node).partition(".")[2] or str(node)
    stage, index = labels.get(STAGE_LABEL), labels.get(_INDEX) or noted.get(_INDEX)
    return f"{stage}, task {index}" if stage and index is not None else str(stage or "")


def log_path(namespace: str, pod: str) -> str:
    """Where the API serves a pod's log."""
    return f"{_path(namespace)}/{pod}/log"


def _path(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


def list_pods(
    cluster: Cluster,
    namespace: str,
    selectors: Iterable[str],
    phase: str,
    step: str | None = None,
) -> list[Object]:
    """Pods in one phase, those that ended or came first first; of very many, some.

    Args:
        cluster: The cluster.
        namespace: Where they are.
        selectors: Label selectors; a pod that one of them finds is taken.
        phase: ``Failed``, ``Running``, ``Pending`` or ``Succeeded``.
        step: A part of the pod's or the step's name; None takes all.
    """
    found: list[Object] = []
    for selector in selectors:
        query = {
            "labelSelector": selector,
            "fieldSelector": f"status.phase={phase}",
            "limit": str(_LISTED),
        }
        found += cluster.request("GET", _path(namespace), query).get("items") or ()
    if step is not None:
        found = [pod for pod in found if step in step_of(pod) or step in pod["metadata"]["name"]]
    return sorted(found, key=_ended_at)


def _ended_at(pod: Object) -> str:
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    states = [each.get("state") or {} for each in statuses]
    ends = [(each.get("terminated") or {}).get("finishedAt") for each in states]
    created = pod["metadata"].get("creationTimestamp")
    return max(filter(None, ends), default=created or "")


def _log(cluster: Cluster, namespace: str, pod: Object, phase: str, tail: int) -> PodLog:
    name = pod["metadata"]["name"]
    path = log_path(namespace, name)
    try:
        text = cluster.text(path, {"container": CONTAINER, "tailLines": str(tail)})
    except ApiError as error:
        # A container that has not started has no log; nor has a pod that is gone by now.
        if error.status not in (400, 404):
            raise
        text = ""
    return PodLog(name, step_of(pod), phase, pod_trouble(pod), text)
