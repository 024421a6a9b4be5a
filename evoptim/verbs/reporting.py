"""Report: a run as one self-contained HTML file."""

from __future__ import annotations

from evoptim.steps.reading import OnRead
from evoptim.steps.report import read_inputs
from evoptim.store import open_store
from evoptim.store.layout import report_key
from evoptim.verbs.searching import DEFAULT_STORE


def make_report(run: str, store: str = DEFAULT_STORE, *, on_read: OnRead | None = None) -> str:
    """The report of a run as HTML; of an unfinished one, what is known so far.

    Args:
        run: Name of the run.
        store: Folder or ``s3://bucket/prefix``.
        on_read: Called with (evaluations read, evaluations that there are) while those of an
            unfinished run are read.

    Raises:
        InputError: there is no such run, or one of its objects is broken.
    """
    opened = open_store(store)
    page = report_key(run, "index.html")
    if opened.exists(page):
        return opened.get(page).decode()
    from evoptim.report import render

    return render(read_inputs(opened, run, on_read))
