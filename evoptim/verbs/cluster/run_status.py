"""Status: where a run is, by its store, its engine and its Jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evoptim.errors import EvoptimError
from evoptim.steps.report import is_reported
from evoptim.store import Store, open_store
from evoptim.verbs.cluster.known import existing, last_of
from evoptim.verbs.cluster.servers import cluster_of, engine_of
from evoptim.verbs.progress import Progress, Status

if TYPE_CHECKING:
    from pipelines.kubernetes_api import Cluster
    from pipelines.submit import Engine, EngineState, Submission
    from pipelines.submit.jobs import JobView


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


def status(run: str, store: str) -> RunStatus:
    """Where a run is: its progress by the store, its state by the engine.

    An engine that cannot be asked is named in the result's ``problem``.

    Raises:
        InputError: there is no such run, or the store refuses.
        InfrastructureError: the store cannot be reached.
    """
    return Follower(open_store(store), run).look()


class Follower:
    """Looks at one run again and again, remembering what cannot change."""

    def __init__(self, store: Store, run: str) -> None:
        self.store = store
        self.run = run
        self.progress = Progress(store, run, existing(store, run))
        self.submission = last_of(store, run)
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
            self.cluster, self.remarks = cluster_of(submission)
            self.engine = engine_of(submission.target, submission.address, self.cluster)
        return self.engine.state(submission), self.engine.page(submission)

    def _jobs(self, submission: Submission) -> tuple[JobView, ...]:
        from pipelines.submit.jobs import list_jobs

        if self.cluster is None or submission.fan_out == "loop":
            return ()
        return list_jobs(self.cluster, submission.profile.namespace, self.store.url, self.run)
