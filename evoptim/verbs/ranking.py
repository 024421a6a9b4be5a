"""Results: what a run has found so far."""

from __future__ import annotations

import re
from typing import Literal

from evoptim.analysis import Ledger, Summary, build_archive, champion
from evoptim.errors import InputError
from evoptim.records import Archive, ArchiveEntry
from evoptim.steps.reading import OnRead, read_config, read_stages
from evoptim.store import MissingObjectError, load, open_store
from evoptim.store.layout import report_key
from evoptim.verbs.searching import DEFAULT_STORE


def results(run: str, store: str = DEFAULT_STORE, *, on_read: OnRead | None = None) -> Archive:
    """Everything that a run has evaluated, ranked; also while it is still running.

    Args:
        run: Name of the run.
        store: Folder or ``s3://bucket/prefix``.
        on_read: Called with (evaluations read, evaluations that there are) while those of an
            unfinished run are read; a finished one has an archive.

    Raises:
        InputError: there is no such run, or one of its objects is broken.
    """
    opened = open_store(store)
    try:
        return load(opened, report_key(run, "archive.json"), Archive)
    except MissingObjectError:
        config = read_config(opened, run)
        return build_archive(run, config, read_stages(opened, run, config, on_read))


def ledger(run: str, store: str = DEFAULT_STORE) -> Ledger | None:
    """What a run spent, once it is finished; None before that.

    Raises:
        InputError: the run's summary is broken.
    """
    try:
        return load(open_store(store), report_key(run, "summary.json"), Summary).ledger
    except MissingObjectError:
        return None


Rank = int | Literal["best"]
"""Of an evolved optimizer: its rank in the search, or the best one by the finals."""

_NAMED = re.compile(r"([a-z0-9][-a-z0-9]*):(\d{1,9}|best)")


def run_and_rank(text: str) -> tuple[str, Rank] | None:
    """What ``first:3`` or ``first:best`` names; None if it is nothing of that kind."""
    named = _NAMED.fullmatch(text)
    if named is None:
        return None
    return named[1], "best" if named[2] == "best" else int(named[2])


def entry(run: str, rank: Rank, store: str = DEFAULT_STORE) -> ArchiveEntry:
    """An evolved optimizer of a run, as its finals measured it if it was in them.

    Raises:
        InputError: there is no such run or rank.
    """
    archive = results(run, store)
    best = champion(archive)
    if rank == "best" and best is None:
        raise InputError(f"the run {run!r} has no best optimizer: none has a fitness")
    for each in archive.entries:
        if each is best if rank == "best" else each.rank == rank:
            finals = (e for e in archive.finals if e.candidate.id == each.candidate.id)
            return next(finals, each)
    raise InputError(
        f"the run {run!r} has ranks 1 to {len(archive.entries)}, got {rank}: "
        "see them with evoptim results"
    )
