"""The Indexed Jobs of a run, and their removal when it is cancelled."""

from dataclasses import dataclass
from typing import Any

from evoptim.store import Stage
from pipelines.job import STORE_LABEL, Work, job_labels
from pipelines.job_status import JobStatus, read_status
from pipelines.kubernetes_api import ApiError, Cluster
from pipelines.pod import RUN_LABEL, STAGE_LABEL
from pipelines.profile import ClusterProfile
from pipelines.submit.access import Access

Object = dict[str, Any]

VERBS = (
    Access("batch", "jobs", "list", "status and cancel"),
    Access("batch", "jobs", "delete", "cancel"),
)
"""What following and cancelling a run asks of Jobs."""

_FOREGROUND = {"propagationPolicy": "Foreground"}


@dataclass(frozen=True)
class JobView:
    """A Job and where it is."""

    name: str
    stage: str
    status: JobStatus


def store_label(store: str) -> str:
    """Value of :data:`~pipelines.job.STORE_LABEL` for a store."""
    work = Work(store, "any", Stage.finals(), 1)
    return job_labels(ClusterProfile(), work)[STORE_LABEL]


def jobs_selector(store: str, run: str) -> str:
    """Label selector of a run's Jobs, and of their pods' run."""
    return f"{RUN_LABEL}={run},{STORE_LABEL}={store_label(store)}"


def list_jobs(cluster: Cluster, namespace: str, store: str, run: str) -> tuple[JobView, ...]:
    """The Jobs of a run that there are, those at work first; raises as ``Cluster.request``."""
    query = {"labelSelector": jobs_selector(store, run)}
    found = cluster.request("GET", _jobs(namespace), query).get("items") or ()
    views = [JobView(each["metadata"]["name"], _stage(each), read_status(each)) for each in found]
    return tuple(sorted(views, key=lambda view: (view.status.ended, view.stage)))


def delete_job(cluster: Cluster, namespace: str, name: str) -> None:
    """Delete a Job, its pods first; raises as ``Cluster.request``."""
    try:
        cluster.request("DELETE", f"{_jobs(namespace)}/{name}", _FOREGROUND)
    except ApiError as error:
        if error.status not in (404, 409):
            raise


def _stage(job: Object) -> str:
    labels = job["metadata"].get("labels") or {}
    return str(labels.get(STAGE_LABEL, ""))


def _jobs(namespace: str) -> str:
    return f"/apis/batch/v1/namespaces/{namespace}/jobs"
