"""Results: what a run has found so far."""

from __future__ import annotations

from evoptim.errors import InputError
from evoptim.records import Archive, ArchiveEntry
from evoptim.steps.report import read_inputs
from evoptim.store import MissingObjectError, load, open_store
from evoptim.store.layout import report_key
from evoptim.verbs.searching import DEFAULT_STORE


def results(run: str, store: str = DEFAULT_STORE) -> Archive:
    """Everything that a run has evaluated, ranked; also while it is still running.

    Raises:
        InputError: there is no such run, or one of its objects is broken.
    """
    opened = open_store(store)
    try:
        return load(opened, report_key(run, "archive.json"), Archive)
    except MissingObjectError:
        return read_inputs(opened, run).archive


def entry(run: str, rank: int, store: str = DEFAULT_STORE) -> ArchiveEntry:
    """The evolved optimizer of ``rank`` (1 is the best) in a run.

    Raises:
        InputError: there is no such run or rank.
    """
    archive = results(run, store)
    for each in archive.entries:
        if each.rank == rank:
            return each
    raise InputError(
        f"the run {run!r} has ranks 1 to {len(archive.entries)}, got {rank}: "
        "see them with evoptim results"
    )
