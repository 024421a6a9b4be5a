"""Submit, status, watch, logs, cancel, resume: a search on a cluster.

Where a run was sent is remembered in its store, so that following it takes its name and the store,
nothing else. What has been computed is for the store to say; the engine is asked only whether it is
still at work, and why not.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

import evoptim
from evoptim.config import RunConfig
from evoptim.errors import EvoptimError, InfrastructureError, InputError
from evoptim.steps.initialise import check_same
from evoptim.steps.report import is_reported
from evoptim.store import MissingObjectError, Store, check_writable, load, open_store
from evoptim.store.layout import config_key
from evoptim.store.local import LocalStore
from evoptim.verbs.compiling import compile_for_cluster
from evoptim.verbs.progress import Progress, Status

if TYPE_CHECKING:
    from pipelines.kubernetes_api import Cluster
    from pipelines.preflight import Plan
    from pipelines.profile import ClusterProfile
    from pipelines.submit import Engine, EngineState, Submission, Target
    from pipelines.submit.jobs import JobView
    from pipelines.submit.pod_logs import PodLog

# One command waits so long for a server that is away; a watch, which is left alone, much longer.
_SECONDS = 20.0
_WATCH_SECONDS = 1800.0
_CANCEL_SECONDS = 300.0
_CANCEL_POLL_SECONDS = 1.0

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Submitted:
    """What came of a submission."""

    outcome: Literal["submitted", "running", "finished"]
    """``running``: it was at work already. ``finished``: its report is in the store already."""
    submission: Submission | None
    """Where it is; None for a finished run that no cluster has seen."""
    page: str | None
    """Where a browser shows it."""
    plan: Plan | None = None
    """What it will ask of the cluster; None where nothing was submitted."""


@dataclass(frozen=True)
class RunStatus:
    """Where a run is."""

    run: str
    store: str
    finished: bool
    """Whether its report is in the store: whatever an engine says, this is success."""
    progress: Status
    submission: Submission | None
    """Where it was sent last; None for a run that no cluster has seen."""
    engine: EngineState | None
    """What the engine says; None where it could not be asked."""
    jobs: tuple[JobView, ...]
    """Its Indexed Jobs that there are."""
    page: str | None
    problem: EvoptimError | None
    """Why the engine could not be asked."""
    remarks: tuple[str, ...] = ()
    """What could not be looked at."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it by itself."""
        return self.finished or (self.engine is not None and self.engine.ended)


@dataclass(frozen=True)
class Cancelled:
    """What came of a cancellation."""

    state: EngineState
    """What the engine says now."""
    jobs: tuple[str, ...]
    """Jobs that were deleted."""
    remarks: tuple[str, ...]


def submit(
    config: RunConfig,
    profile: ClusterProfile,
    run: str,
    store: str,
    target: Target,
    *,
    patience: int = 0,
) -> Submitted:
    """Start a search on a cluster, or continue one that has ended; it returns at once.

    A run that is at work or finished is left as it is.

    Args:
        config: What to search, and how.
        profile: How pods run there.
        run: Name of the run.
        store: Where runs are, as the pods see it too: ``s3://bucket/prefix``, or a folder on a
            mounted claim.
        target: The engine.
        patience: End the search when so many generations have found nothing better; 0 never does.

    Raises:
        InputError: the search does not fit, the store or the engine refuses, or the run exists with
            another configuration; nothing was started.
        InfrastructureError: the engine cannot be reached.
    """
    opened = open_store(store)
    _check_seen_by_pods(opened, profile)
    _check_data(config, profile)
    existing = _configuration(opened, run)
    if existing is not None:
        check_same(run, existing, config)
    return _start(opened, run, config, profile, target, patience)


def resume(
    run: str,
    store: str,
    *,
    profile: ClusterProfile | None = None,
    target: Target | None = None,
) -> Submitted:
    """Submit a run again with the configuration that it has; what is in the store is reused.

    Args:
        run: Name of the run.
        store: Where it is.
        profile: How pods run; None for the profile of its last submission.
        target: The engine; None for that of its last submission.

    Raises:
        InputError, InfrastructureError: as :func:`submit`, and where nothing is known of the run.
    """
    opened = open_store(store)
    last, config = _last(opened, run), _configuration(opened, run)
    if config is None:
        raise InputError(
            f"there is no run {run!r} in {opened.url}: check --store and --run, or start it with "
            "evoptim submit"
        )
    profile = profile or (last.profile if last else None)
    target = target or (last.target if last else None)
    if profile is None or target is None:
        raise InputError(
            f"the run {run!r} was never submitted to a cluster: say where with --profile and "
            "--target"
        )
    _check_seen_by_pods(opened, profile)
    return _start(opened, run, config, profile, target, last.patience if last else 0)


def status(run: str, store: str) -> RunStatus:
    """Where a run is: its progress by the store, its state by the engine.

    An engine that cannot be asked is named in the result's ``problem``.

    Raises:
        InputError: there is no such run, or the store refuses.
        InfrastructureError: the store cannot be reached.
    """
    return _Follower(open_store(store), run).look()


def watch(
    run: str,
    store: str,
    on_status: Callable[[RunStatus], None] | None = None,
    *,
    seconds: float = 10.0,
) -> RunStatus:
    """Follow a run until nothing more will come of it by itself.

    Args:
        run: Name of the run.
        store: Where it is.
        on_status: Called with each look.
        seconds: Between two looks.

    Returns:
        The last look: finished, or failed, cancelled, or gone from its engine.

    Raises:
        InputError: there is no such run, it was never submitted, or a server refuses the user.
        InfrastructureError: store or engine have been away for half an hour.
    """
    follower = _Follower(open_store(store), run)
    answered = time.monotonic()
    while True:
        problem: EvoptimError | None
        try:
            found = follower.look()
        except InfrastructureError as error:
            problem = error
        else:
            if on_status is not None:
                on_status(found)
            if found.ended:
                return found
            if found.submission is None:
                raise InputError(
                    f"the run {run!r} was never submitted to a cluster: nothing but the process "
                    "that runs it knows when it ends"
                )
            problem = found.problem
        if isinstance(problem, InputError):
            raise problem
        if problem is None:
            answered = time.monotonic()
        elif time.monotonic() - answered > _WATCH_SECONDS:
            raise problem
        time.sleep(seconds)


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
    from pipelines.submit.jobs import list_jobs
    from pipelines.submit.pod_logs import read_logs

    opened = open_store(store)
    submission = _submitted(opened, run)
    cluster = _connect()
    engine = _engine(submission.target, submission.address, cluster)
    namespace = submission.profile.namespace
    jobs = list_jobs(cluster, namespace, opened.url, run)
    selectors = [
        engine.pods(submission),
        *(f"batch.kubernetes.io/job-name={job.name}" for job in jobs),
    ]
    return read_logs(cluster, namespace, selectors, step, tail, most)


def cancel(run: str, store: str) -> Cancelled:
    """End a run on its cluster: its workflow first, then its Jobs; returns when they are gone.

    What is computed stays in the store, and :func:`resume` goes on from there.

    Raises:
        InputError: there is no such run on a cluster, or a server refuses the user.
        InfrastructureError: something cannot be reached, or does not end.
    """
    opened = open_store(store)
    submission = _submitted(opened, run)
    cluster, remarks = _cluster_of(submission)
    engine = _engine(submission.target, submission.address, cluster)
    engine.cancel(submission)
    deleted: set[str] = set()
    deadline = time.monotonic() + _CANCEL_SECONDS
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
                f"the run {run!r} was told to end, but has not in {_CANCEL_SECONDS:.0f} s ({left}):"
                " run the same command again to go on waiting"
            )
        time.sleep(_CANCEL_POLL_SECONDS)


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


class _Follower:
    """Looks at one run again and again, remembering what cannot change."""

    def __init__(self, store: Store, run: str) -> None:
        self.store = store
        self.run = run
        config = _configuration(store, run)
        if config is None:
            raise InputError(
                f"there is no run {run!r} in {store.url}: check --store and --run, or start it "
                "with evoptim submit"
            )
        self.progress = Progress(store, run, config)
        self.submission = _last(store, run)
        self.engine: Engine | None = None
        self.cluster: Cluster | None = None
        self.remarks: tuple[str, ...] = ()

    def look(self) -> RunStatus:
        """Look once; an engine's trouble is in the result, a store's is raised."""
        state: EngineState | None = None
        jobs: tuple[JobView, ...] = ()
        page: str | None = None
        problem: EvoptimError | None = None
        unseen: tuple[str, ...] = ()
        if self.submission is not None:
            try:
                # Before the store: what the engine had finished by then is in there.
                state, page = self._ask(self.submission)
            except EvoptimError as error:
                problem = error
            try:
                jobs = self._jobs(self.submission)
            except EvoptimError as error:
                unseen = (f"its Jobs cannot be seen: {error}",)
        return RunStatus(
            run=self.run,
            store=self.store.url,
            finished=is_reported(self.store, self.run),
            progress=self.progress.update(),
            submission=self.submission,
            engine=state,
            jobs=jobs,
            page=page,
            problem=problem,
            remarks=(*self.remarks, *unseen),
        )

    def _ask(self, submission: Submission) -> tuple[EngineState, str | None]:
        if self.engine is None:
            self.cluster, self.remarks = _cluster_of(submission)
            self.engine = _engine(submission.target, submission.address, self.cluster)
        return self.engine.state(submission), self.engine.page(submission)

    def _jobs(self, submission: Submission) -> tuple[JobView, ...]:
        from pipelines.submit.jobs import list_jobs

        if self.cluster is None or submission.fan_out == "loop":
            return ()
        return list_jobs(self.cluster, submission.profile.namespace, self.store.url, self.run)


def _start(
    store: Store,
    run: str,
    config: RunConfig,
    profile: ClusterProfile,
    target: Target,
    patience: int,
) -> Submitted:
    from pipelines.profile_reading import profile_from_json
    from pipelines.submit import Package, Submission, engine_name, record

    last = _last(store, run)
    if is_reported(store, run):
        return Submitted("finished", last, None)
    if last is not None:
        before = _engine(last.target, last.address, None)
        if not before.state(last).ended:
            return Submitted("running", last, before.page(last))
    if not check_writable(store):
        _LOGGER.warning(
            "the store %s lets two writers overwrite each other: every object stays whole, but "
            "let only one search at a time write a run",
            store.url,
        )
    # As the store will give it back, so that a resumed run is compiled to the same bytes.
    profile = profile_from_json(profile.canonical_json())
    number = 0 if last is None else last.number + 1
    compiled = compile_for_cluster(config, profile, target)
    name = engine_name(store.url, run, number)
    arguments: dict[str, str | int] = {
        "store": store.url,
        "run": run,
        "config": config.canonical_json(),
        "candidates_per_task": profile.candidates_per_task,
    }
    if target == "argo":
        arguments["patience"] = patience
    elif patience:
        raise InputError(
            f"only Argo can end a search early, got --patience {patience} with --target kfp: leave "
            "it out, or use --target argo"
        )
    engine = _engine(target, None, None)
    identity = engine.start(Package(name, run, store.url, compiled.text, arguments, profile))
    submission = Submission(
        number=number,
        target=target,
        name=name,
        engine_id=identity,
        address=engine.address,
        fan_out=compiled.plan.fan_out,
        profile=profile,
        config=config,
        patience=patience,
        submitted_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        version=evoptim.__version__,
    )
    if not record(store, run, submission):
        # Somebody submitted the same at the same time; of two runs one is enough.
        first = _submitted(store, run)
        if first.engine_id != identity:
            engine.cancel(submission)
        return Submitted("running", first, engine.page(first))
    return Submitted("submitted", submission, engine.page(submission), compiled.plan)


def _last(store: Store, run: str) -> Submission | None:
    from pipelines.submit import last_submission

    return last_submission(store, run)


def _submitted(store: Store, run: str) -> Submission:
    found = _last(store, run)
    if found is None:
        raise InputError(
            f"the run {run!r} in {store.url} was never submitted to a cluster: check --store and "
            "--run, or start it with evoptim submit"
        )
    return found


def _configuration(store: Store, run: str) -> RunConfig | None:
    """The configuration of a run: what its first step wrote, else what was submitted."""
    try:
        return load(store, config_key(run), RunConfig)
    except MissingObjectError:
        submission = _last(store, run)
        return None if submission is None else submission.config


def _engine(target: Target, address: str | None, cluster: Cluster | None) -> Engine:
    from pipelines.submit import ArgoEngine, KfpEngine

    if target == "kfp":
        return KfpEngine(address)
    return ArgoEngine(cluster or _connect())


def _connect() -> Cluster:
    from pipelines.kubernetes_api import Patience, connect

    return connect(Patience(total=_SECONDS, longest=5.0))


def _cluster_of(submission: Submission) -> tuple[Cluster | None, tuple[str, ...]]:
    """The API server; KFP can be followed without, as far as KFP itself tells."""
    try:
        return _connect(), ()
    except InputError as error:
        if submission.target == "argo":
            raise
        if submission.fan_out == "loop":
            return None, ()
        return None, (f"its Jobs cannot be seen: {error}",)


def _check_seen_by_pods(store: Store, profile: ClusterProfile) -> None:
    if not isinstance(store, LocalStore):
        return
    folder = PurePosixPath(store.url)
    claims = [PurePosixPath(each.path) for each in profile.mounts if each.kind == "claim"]
    if not any(folder == each or each in folder.parents for each in claims):
        raise InputError(
            f"the pods must see the store too, and {store.url} is a folder of this machine: give "
            "--store s3://bucket/prefix, or a folder on a claim that the profile mounts"
        )


def _check_data(config: RunConfig, profile: ClusterProfile) -> None:
    protocols = (config.protocol, config.initial_protocol)
    for data in {each.task.data for each in protocols if each is not None}:
        if data is None:
            continue
        path = PurePosixPath(data)
        if not path.is_absolute():
            raise InputError(
                f"the images must be named by their path in the pods, got {data!r}: give an "
                "absolute path, and mount it with the profile's mounts"
            )
        mounts = [PurePosixPath(each.path) for each in profile.mounts]
        if not any(path == each or each in path.parents for each in mounts):
            _LOGGER.warning(
                "no mount of the profile holds the images %s: the image itself must have them",
                data,
            )
