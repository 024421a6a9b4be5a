"""Evaluates one stage with an Indexed Job, and watches it to its end.

The Job is the engine, the store is the truth: whatever the Job says of its tasks, what counts is
which evaluations are there. Whoever watches may die at any time: the next one adopts the Job.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from evoptim.errors import EvoptimError, InfrastructureError, InputError
from evoptim.steps import Ahead, Missing, chunks_to_propose, missing_chunks
from evoptim.store import Stage
from pipelines.job import (
    SPEC_ANNOTATION,
    STORE_LABEL,
    Work,
    allowed_failures,
    build_job,
    job_labels,
    worth_listing,
)
from pipelines.job_status import JobStatus, is_disrupted, read_status, refusal, trouble
from pipelines.kubernetes_api import ApiError, Cluster, ExpiredError, Patience, connect
from pipelines.pod import RUN_LABEL, STAGE_LABEL
from pipelines.profile import ClusterProfile

Object = dict[str, Any]

# A Job that vanishes again and again is being deleted by somebody who means it.
_MOST_DELETIONS = 3
# Kubernetes ends a pod that does not listen after 30 s.
_CLEAN_UP = Patience(total=15.0, longest=2.0)
# What is only for the log must not hold up the work.
_LOOK = Patience(total=5.0, longest=1.0)


@dataclass(frozen=True)
class Pace:
    """How often the driver looks, in seconds."""

    report: float = 30.0
    """Between two lines of progress, and the length of a watch."""
    breath: float = 1.0
    """Least time between two readings of the Job, however often its watch breaks off."""
    settle: float = 120.0
    """How long to wait for the last pods of a Job that has failed."""
    vanish: float = 600.0
    """How long to wait for a Job that is being deleted."""


def say(line: str) -> None:
    """Print a line of the step's log at once."""
    print(line, flush=True)


def evaluate_fanout(
    store: str,
    run: str,
    stage: Stage,
    candidates_per_task: int,
    profile: ClusterProfile,
    *,
    propose: Callable[[], object] | None = None,
    ahead: Ahead | None = None,
    cluster: Cluster | None = None,
    pace: Pace | None = None,
    log: Callable[[str], None] = say,
) -> None:
    """Evaluate what a stage still lacks: one pod for each chunk, ``profile.parallelism`` at a time.

    It returns when every evaluation is in the store, or when no more chunks than
    ``profile.max_failed_fraction`` allows have failed for good. Interrupted (SIGINT, SIGTERM), it
    deletes the Job, unless its own pod is only being moved to another node.

    Args:
        store: URL of the store, the same for the pods.
        run: Name of the run.
        stage: What to evaluate; its candidates are proposed, unless there is ``propose``.
        candidates_per_task: Size of a chunk.
        profile: How pods run.
        propose: Writes the candidates, if they are not there yet. The Job is made before, so that
            its pods start meanwhile; if it fails, the Job is deleted.
        ahead: What others read of the stage meanwhile.
        cluster: The cluster; None for the one that :func:`~pipelines.kubernetes_api.connect` finds.
        pace: How often to look.
        log: Called with each line of progress.

    Raises:
        InputError: the store, the run or the cluster is not as it has to be, or a pod refused what
            it was given.
        InfrastructureError: too many chunks failed, the Job was deleted over and over, or the API
            server is gone; what is evaluated stays.
        KeyboardInterrupt: everything was stopped.
    """
    work = Work(store, run, stage, candidates_per_task)
    look = partial(missing_chunks, store, run, stage, candidates_per_task, ahead)
    planned = None if propose is None else chunks_to_propose(store, run, stage, candidates_per_task)
    missing = planned or look()
    if not missing.chunks:
        log(f"{stage}: all {missing.total} chunks are evaluated already")
        return
    with _interruptible() as check:
        driver = _Driver(profile, work, look, cluster or connect(), pace or Pace(), log, check)
        driver.run(missing, None if planned is None else propose)


class _Driver:
    def __init__(
        self,
        profile: ClusterProfile,
        work: Work,
        look: Callable[[], Missing],
        cluster: Cluster,
        pace: Pace,
        log: Callable[[str], None],
        check: Callable[[], None],
    ) -> None:
        self.profile = profile
        self.work = work
        self.look = look
        self.cluster = cluster
        self.pace = pace
        self.log = log
        self.check = check
        self.jobs = f"/apis/batch/v1/namespaces/{profile.namespace}/jobs"
        self.pods = f"/api/v1/namespaces/{profile.namespace}/pods"
        self.events = f"/api/v1/namespaces/{profile.namespace}/events"
        self.reported = time.monotonic()

    def run(self, missing: Missing, propose: Callable[[], object] | None) -> None:
        """Evaluate these chunks; they are still to be proposed where there is ``propose``."""
        deletions = 0
        manifest = self._manifest(missing)
        begun = None
        try:
            if propose is not None:
                begun = self._create_or_adopt(manifest)
                self._propose(propose, manifest)
                missing = self.look()
            while missing.chunks:
                manifest = self._manifest(missing)
                begun = begun or self._create_or_adopt(manifest, self.look)
                if begun is None:
                    missing = self.look()
                    continue
                (job, adopted), begun = begun, None
                status = self._follow(job)
                missing = self.look()
                if status is None:
                    deletions += 1
                    self._check_deletions(deletions, manifest)
                elif missing.chunks and not adopted:
                    self._judge(manifest, status, missing)
                    break
                # An adopted Job may have been made for other chunks: a new one does the rest.
        except KeyboardInterrupt:
            self._clean_up(manifest, "interrupted")
            raise
        lost = len(missing.chunks)
        self.log(f"{self.work.stage}: {missing.total - lost} of {missing.total} chunks evaluated")

    def _propose(self, propose: Callable[[], object], manifest: Object) -> None:
        self.check()
        try:
            propose()
        except Exception:
            # Its pods would wait for what does not come.
            self._clean_up(manifest, "nothing is proposed")
            raise

    def _manifest(self, missing: Missing) -> Object:
        listed = worth_listing(missing.chunks)
        chunks = missing.chunks if listed else tuple(range(missing.total))
        return build_job(self.profile, self.work, chunks, missing.total)

    # Creating

    def _create_or_adopt(
        self, manifest: Object, look: Callable[[], Missing] | None = None
    ) -> tuple[Object, bool] | None:
        """A Job at work with this name, and whether it was there already.

        None where one has ended and, by ``look``, has left nothing to do: its last evaluations may
        come between a look and the reading of it.
        """
        name = manifest["metadata"]["name"]
        self._end_others(name)
        while True:
            found = self._read(name)
            if found is None:
                created = self._create(manifest)
                if created is not None:
                    count = manifest["spec"]["completions"]
                    self.log(f"{self.work.stage}: created the Job {name} for {count} chunks")
                    return created, False
                continue
            self._check_ours(manifest, found)
            if "deletionTimestamp" in found["metadata"]:
                self._wait_until_gone(found)
            elif read_status(found).ended:
                if look is not None and not look().chunks:
                    return None
                self.log(f"{self.work.stage}: the Job {name} ended before: it is made anew")
                self._delete(found)
            else:
                self.log(f"{self.work.stage}: adopted the Job {name}: {read_status(found)}")
                return found, True

    def _create(self, manifest: Object) -> Object | None:
        """The new Job; None where one of this name came first."""
        try:
            return self.cluster.request("POST", self.jobs, body=manifest)
        except ApiError as error:
            if error.status == 409:
                return None
            if error.status == 404:
                raise InputError(
                    f"the cluster has no namespace {self.profile.namespace!r} ({error}): apply the "
                    "manifests, or correct the profile's namespace"
                ) from None
            if error.status in (400, 422):
                raise InputError(
                    f"the cluster refuses the Job that the profile describes ({error}): correct "
                    "the profile"
                ) from None
            raise

    def _check_ours(self, manifest: Object, found: Object) -> None:
        """Refuse to touch a Job that has our name by chance or was edited into another one."""
        ours = manifest["metadata"]["annotations"][SPEC_ANNOTATION]
        theirs = (found["metadata"].get("annotations") or {}).get(SPEC_ANNOTATION)
        if theirs != ours:
            name = found["metadata"]["name"]
            raise InputError(
                f"the Job {name} in the namespace {self.profile.namespace} is not this run's "
                f"({SPEC_ANNOTATION} is {theirs!r}, not {ours[:12]}…): delete it with kubectl "
                f"delete job {name}, or give the run another name"
            )

    def _end_others(self, name: str) -> None:
        """End what an earlier profile, or another chunk size, left at work on this very stage."""
        wanted = job_labels(self.profile, self.work)
        selector = ",".join(f"{key}={wanted[key]}" for key in (RUN_LABEL, STAGE_LABEL, STORE_LABEL))
        for job in self._list(self.jobs, {"labelSelector": selector}):
            other = job["metadata"]["name"]
            if other != name and not read_status(job).ended:
                self.log(f"{self.work.stage}: ends the Job {other}, which another profile made")
                self._delete(job)

    # Watching

    def _follow(self, job: Object) -> JobStatus | None:
        """Wait for the end of a Job; None if it was deleted."""
        name, uid = job["metadata"]["name"], job["metadata"]["uid"]
        ending_since: float | None = None
        current: Object | None = job
        while current is not None and current["metadata"]["uid"] == uid:
            self.check()
            started = time.monotonic()
            status = read_status(current)
            if status.ended:
                ending_since = ending_since or started
                if status.settled or started - ending_since > self.pace.settle:
                    self.log(f"{self.work.stage}: the Job {name} is {status.state}: {status}")
                    return status
            self._report(name, status)
            if "deletionTimestamp" in current["metadata"]:
                self._wait_until_gone(current)
                break
            self._watch_for_change(current, status)
            time.sleep(max(0.0, self.pace.breath - (time.monotonic() - started)))
            current = self._read(name)
        self.log(f"{self.work.stage}: the Job {name} was deleted")
        return None

    def _watch_for_change(self, job: Object, status: JobStatus) -> None:
        """Wait until there is reason to read the Job again."""
        name = job["metadata"]["name"]
        query = {
            "fieldSelector": f"metadata.name={name}",
            "resourceVersion": job["metadata"]["resourceVersion"],
        }
        # While a Job ends, its last pods are waited for no longer than that.
        bound = self.pace.settle if status.ended else self.pace.report
        seconds = max(1, int(bound))
        with suppress(ExpiredError):
            for event in self.cluster.watch(self.jobs, query, seconds):
                seen = read_status(event["object"])
                if event["type"] == "DELETED" or seen.ended:
                    return
                self._report(name, seen)

    def _report(self, name: str, status: JobStatus) -> None:
        now = time.monotonic()
        if now - self.reported < self.pace.report:
            return
        self.reported = now
        line = f"{self.work.stage}: {status}"
        reason = self._trouble(name, status)
        self.log(f"{line}; {reason}" if reason else line)

    def _trouble(self, name: str, status: JobStatus) -> str | None:
        """Why pods fail or do not start, as far as that can be seen."""
        # Progress is for people: a refused or lost look changes nothing.
        with suppress(EvoptimError):
            for phase in ("Failed", "Pending"):
                found = trouble(self._pods(name, phase, limit=10))
                if found is not None:
                    return found
            if status.active == 0 and status.state == "running":
                return self._warning(name)
        return None

    def _pods(self, name: str, phase: str, limit: int) -> list[Object]:
        selection = {
            "labelSelector": f"batch.kubernetes.io/job-name={name}",
            "fieldSelector": f"status.phase={phase}",
            "limit": str(limit),
        }
        found = self.cluster.request("GET", self.pods, selection, patience=_LOOK)
        return list(found.get("items") or ())

    def _warning(self, name: str) -> str | None:
        """The latest warning about the Job: a quota or a policy may keep it from making pods."""
        about = f"involvedObject.kind=Job,involvedObject.name={name},type=Warning"
        found = self.cluster.request("GET", self.events, {"fieldSelector": about}, patience=_LOOK)
        warnings = sorted(
            found.get("items") or (), key=lambda each: each.get("lastTimestamp") or ""
        )
        if not warnings:
            return None
        return f"{warnings[-1].get('reason')}: {warnings[-1].get('message')}"

    # Ending

    def _judge(self, manifest: Object, status: JobStatus, missing: Missing) -> None:
        """Decide whether a stage with missing evaluations may go on to selection."""
        name = manifest["metadata"]["name"]
        failed: list[Object] = []
        with suppress(EvoptimError):
            failed = self._pods(name, "Failed", limit=100)
        if status.reason == "PodFailurePolicy":
            raise InputError(refusal(failed) or f"a pod of the Job {name}: {status.message}")
        lost, allowed = len(missing.chunks), allowed_failures(self.profile, missing.total)
        example = trouble(failed)
        facts = (
            f"{lost} of {missing.total} chunks of {self.work.stage} have no evaluations (the Job "
            f"{name} is {status.state}{f', {status.reason}' if status.reason else ''}"
            f"{f'; for example {example}' if example else ''})"
        )
        if lost > allowed:
            raise InfrastructureError(
                f"{facts}, max_failed_fraction allows {allowed}: run the same command again to "
                f"evaluate them; logs: kubectl -n {self.profile.namespace} logs job/{name}"
            )
        self.log(f"{facts}, as max_failed_fraction allows: selection counts them as failed")

    def _check_deletions(self, deletions: int, manifest: Object) -> None:
        if deletions >= _MOST_DELETIONS:
            raise InfrastructureError(
                f"the Job {manifest['metadata']['name']} was deleted {deletions} times while it "
                "was at work: find out by whom, then run the same command again"
            )

    def _clean_up(self, manifest: Object, why: str) -> None:
        """Leave nothing at work, unless this pod is only being moved."""
        with _deaf(), suppress(EvoptimError):
            if self._is_being_moved():
                self.log(f"{self.work.stage}: this pod is being moved; its Job goes on")
                return
            name = manifest["metadata"]["name"]
            self.log(f"{self.work.stage}: {why}: deletes the Job {name}")
            path = f"{self.jobs}/{name}"
            with suppress(ApiError):
                self.cluster.request("DELETE", path, body=_FOREGROUND, patience=_CLEAN_UP)

    def _is_being_moved(self) -> bool:
        own = os.environ.get("HOSTNAME")
        if not own or "KUBERNETES_SERVICE_HOST" not in os.environ:
            return False
        with suppress(EvoptimError):
            pod = self.cluster.request("GET", f"{self.pods}/{own}", patience=_CLEAN_UP)
            return is_disrupted(pod)
        return False

    # Objects

    def _read(self, name: str) -> Object | None:
        try:
            return self.cluster.request("GET", f"{self.jobs}/{name}")
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def _list(self, path: str, query: Mapping[str, str]) -> list[Object]:
        return list(self.cluster.request("GET", path, query).get("items") or ())

    def _delete(self, job: Object) -> None:
        """Delete this very Job and wait until it and its pods are gone."""
        path = f"{self.jobs}/{job['metadata']['name']}"
        exactly = {**_FOREGROUND, "preconditions": {"uid": job["metadata"]["uid"]}}
        try:
            self.cluster.request("DELETE", path, body=exactly)
        except ApiError as error:
            # Gone, or another Job by now: either way this one is.
            if error.status not in (404, 409):
                raise
        self._wait_until_gone(job)

    def _wait_until_gone(self, job: Object) -> None:
        name, uid = job["metadata"]["name"], job["metadata"]["uid"]
        deadline = time.monotonic() + self.pace.vanish
        while (found := self._read(name)) is not None and found["metadata"]["uid"] == uid:
            if time.monotonic() > deadline:
                raise InfrastructureError(
                    f"the Job {name} is being deleted and does not go away: see kubectl -n "
                    f"{self.profile.namespace} get job {name} -o yaml for its finalizers"
                )
            time.sleep(self.pace.breath)


# Its pods go first, so that whoever no longer sees the Job knows that nothing of it is left. As a
# body: the API server ignores the same words in the query as soon as there is one.
_FOREGROUND = {
    "apiVersion": "v1",
    "kind": "DeleteOptions",
    "propagationPolicy": "Foreground",
}


@contextmanager
def _interruptible() -> Iterator[Callable[[], None]]:
    """Let SIGTERM interrupt as Ctrl-C does: clusters and engines end a step with it.

    Python drops what is raised while it collects garbage, as in the middle of a request. So it is
    to be asked for now and then: what it yields raises KeyboardInterrupt if there was a signal.
    """
    asked = threading.Event()

    def check() -> None:
        if asked.is_set():
            raise KeyboardInterrupt

    def interrupt(number: int, frame: object) -> None:  # noqa: ARG001
        asked.set()
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield check
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield check
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _deaf() -> Iterator[None]:
    """Let a second signal not interrupt the cleaning up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
