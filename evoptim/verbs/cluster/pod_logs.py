"""Logs: what the pods of a run print."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from evoptim.store import Store, open_store
from evoptim.verbs.cluster.known import submitted
from evoptim.verbs.cluster.servers import FOLLOWING_SECONDS, connected, engine_of

if TYPE_CHECKING:
    from pipelines.kubernetes_api import Cluster
    from pipelines.submit import Engine, Submission
    from pipelines.submit.pod_logs import PodLog


def logs(
    run: str, store: str, *, step: str | None = None, tail: int = 50, most: int = 5
) -> Iterator[PodLog]:
    """What the pods of a run printed: of those that failed, else of those at work.

    Args:
        run: Name of the run.
        store: Where it is.
        step: A part of the name of a step or a pod; None chooses.
        tail: Lines of each pod, counted from the end.
        most: How many pods.

    Raises:
        InputError: there is no such run on a cluster, or the cluster refuses the user.
        InfrastructureError: something cannot be reached.
    """
    from pipelines.submit.pod_logs import read_logs

    opened = open_store(store)
    submission = submitted(opened, run)
    cluster = connected()
    engine = engine_of(submission.target, submission.address, cluster)
    selectors = _selectors(cluster, engine, submission, opened, run)
    return read_logs(cluster, submission.profile.namespace, selectors(), step, tail, most)


def follow_logs(
    run: str,
    store: str,
    *,
    step: str | None = None,
    tail: int = 50,
    most: int = 5,
    seconds: float = 2.0,
) -> Iterator[PodLog]:
    """What the pods of a run print, as they print it, until the run has ended.

    Pods that come later are followed as well, and those that fail say why.

    Args:
        run: Name of the run.
        store: Where it is.
        step: A part of the name of a step or a pod; None follows them all.
        tail: Lines of each pod that is at work already, counted from the end.
        most: How many pods at a time; another takes the place of one that has ended.
        seconds: Between two looks.

    Yields:
        What a pod has printed since the last time.

    Raises:
        InputError: there is no such run on a cluster, or a server refuses the user.
        InfrastructureError: the cluster has been away for half an hour, or KFP for a while.
    """
    from pipelines.submit.follow_logs import follow

    opened = open_store(store)
    submission = submitted(opened, run)
    cluster = connected(FOLLOWING_SECONDS)
    engine = engine_of(submission.target, submission.address, cluster)
    return follow(
        cluster,
        submission.profile.namespace,
        _selectors(cluster, engine, submission, opened, run),
        lambda: engine.state(submission).ended,
        step=step,
        tail=tail,
        most=most,
        seconds=seconds,
    )


def _selectors(
    cluster: Cluster, engine: Engine, submission: Submission, store: Store, run: str
) -> Callable[[], list[str]]:
    """The label selectors of the run's pods; Jobs come and go."""
    from pipelines.submit.jobs import list_jobs

    def selectors() -> list[str]:
        jobs = list_jobs(cluster, submission.profile.namespace, store.url, run)
        of_jobs = [f"batch.kubernetes.io/job-name={job.name}" for job in jobs]
        return [engine.pods(submission), *of_jobs]

    return selectors
