"""Submit and resume: a search handed over to a cluster's engine."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal

import evoptim
from evoptim.config import RunConfig
from evoptim.errors import InputError
from evoptim.steps.initialise import check_same
from evoptim.steps.report import is_reported
from evoptim.store import Store, check_writable, open_store
from evoptim.verbs.cluster.known import configuration, existing, last_of, submitted
from evoptim.verbs.cluster.seen_by_pods import check_data, check_seen_by_pods
from evoptim.verbs.cluster.servers import engine_of
from evoptim.verbs.compiling import compile_for_cluster

if TYPE_CHECKING:
    from pipelines.preflight import Plan
    from pipelines.profile import ClusterProfile
    from pipelines.submit import Submission, Target


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
    check_seen_by_pods(opened, profile)
    check_data(config, profile)
    before = configuration(opened, run)
    if before is not None:
        check_same(run, before, config)
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
    last, config = last_of(opened, run), existing(opened, run)
    profile = profile or (last.profile if last else None)
    target = target or (last.target if last else None)
    if profile is None or target is None:
        raise InputError(
            f"the run {run!r} was never submitted to a cluster: say where with --profile and "
            "--target"
        )
    check_seen_by_pods(opened, profile)
    return _start(opened, run, config, profile, target, last.patience if last else 0)


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

    last = last_of(store, run)
    if is_reported(store, run):
        return Submitted("finished", last, None)
    if last is not None:
        before = engine_of(last.target, last.address, None)
        if not before.state(last).ended:
            return Submitted("running", last, before.page(last))
    check_writable(store)
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
    engine = engine_of(target, None, None)
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
        first = submitted(store, run)
        if first.engine_id != identity:
            engine.cancel(submission)
        return Submitted("running", first, engine.page(first))
    return Submitted("submitted", submission, engine.page(submission), compiled.plan)
