"""What the store knows of a run that goes to a cluster, or went there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evoptim.config import RunConfig
from evoptim.errors import InputError
from evoptim.store import MissingObjectError, Store, load
from evoptim.store.layout import config_key

if TYPE_CHECKING:
    from pipelines.submit import Submission


def last_of(store: Store, run: str) -> Submission | None:
    """The latest submission of a run; None if it never was."""
    from pipelines.submit import last_submission

    return last_submission(store, run)


def submitted(store: Store, run: str) -> Submission:
    """The latest submission of a run.

    Raises:
        InputError: there is no such run, or it was never submitted.
    """
    found = last_of(store, run)
    if found is None:
        existing(store, run)
        raise never_submitted(store, run)
    return found


def never_submitted(store: Store, run: str) -> InputError:
    """Says of a run that there is that no cluster has seen it."""
    return InputError(
        f"the run {run!r} in {store.url} was never submitted to a cluster, so that only the "
        "process that runs it can follow or end it; evoptim submit moves it to a cluster, where "
        "it goes on"
    )


def existing(store: Store, run: str) -> RunConfig:
    """The configuration of a run.

    Raises:
        InputError: there is no such run.
    """
    found = configuration(store, run)
    if found is None:
        raise InputError(
            f"there is no run {run!r} in {store.url}: check --store and --run, or start it with "
            "evoptim submit"
        )
    return found


def configuration(store: Store, run: str) -> RunConfig | None:
    """The configuration of a run: what its first step wrote, else what was submitted."""
    try:
        return load(store, config_key(run), RunConfig)
    except MissingObjectError:
        submission = last_of(store, run)
        return None if submission is None else submission.config
