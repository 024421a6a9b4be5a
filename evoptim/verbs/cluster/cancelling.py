"""Cancel: a run ended on its cluster, with all that it started there."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evoptim.errors import EvoptimError, InfrastructureError
from evoptim.store import open_store
from evoptim.verbs.cluster.known import submitted
from evoptim.verbs.cluster.servers import cluster_of, engine_of

if TYPE_CHECKING:
    from pipelines.kubernetes_api import Cluster
    from pipelines.submit import Engine, EngineState, Submission

_SECONDS = 300.0
_POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Cancelled:
    """What came of a cancellation."""

    state: EngineState
    """What the engine says now."""
    jobs: tuple[str, ...]
    """Jobs that were deleted."""
    remarks: tuple[str, ...]


def cancel(run: str, store: str) -> Cancelled:
    """End a run on its cluster: its workflow first, then its Jobs; returns when they are gone.

    What is computed stays in the store, and :func:`resume` goes on from there.

    Raises:
        InputError: there is no such run on a cluster, or a server refuses the user.
        InfrastructureError: something cannot be reached, or does not end.
    """
    opened = open_store(store)
    submission = submitted(opened, run)
    cluster, remarks = cluster_of(submission)
    engine = engine_of(submission.target, submission.address, cluster)
    engine.cancel(submission)
    deleted: set[str] = set()
    deadline = time.monotonic() + _SECONDS
    while True:
        state = engine.state(submission)
        left = "" if state.ended else f"{submission.target} says {state.phase}"
        if cluster is not None:
            try:
                left = _sweep(cluster, engine, submission, opened.url, run, deleted) or left
            except EvoptimError as error:
                if submission.target == "argo":
                    raise
                # KFP ends its runs without us; the kubeconfig may be of another cluster.
                cluster, remarks = None, (f"its Jobs cannot be seen: {error}",)
        if not left:
            return Cancelled(state, tuple(sorted(deleted)), remarks)
        if time.monotonic() > deadline:
            raise InfrastructureError(
                f"the run {run!r} was told to end, but has not in {_SECONDS:.0f} s ({left}):"
                " run the same command again to go on waiting"
            )
        time.sleep(_POLL_SECONDS)


def _sweep(
    cluster: Cluster,
    engine: Engine,
    submission: Submission,
    store: str,
    run: str,
    deleted: set[str],
) -> str:
    """Delete the Jobs of a run; returns what is left of it, or nothing."""
    from pipelines.submit.jobs import delete_job, list_jobs
    from pipelines.submit.pod_logs import first_active

    namespace = submission.profile.namespace
    jobs = list_jobs(cluster, namespace, store, run)
    for job in jobs:
        # Again and again: one of the same name may have been made since.
        delete_job(cluster, namespace, job.name)
        deleted.add(job.name)
    if jobs:
        return f"the Job {jobs[0].name} is being deleted"
    # A step that is at work could make another Job.
    pod = first_active(cluster, namespace, engine.pods(submission))
    return "" if pod is None else f"the pod {pod} is at work"
