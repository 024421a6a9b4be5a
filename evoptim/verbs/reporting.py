"""Report: a run as one self-contained HTML file."""

from __future__ import annotations

from evoptim.report import render
from evoptim.steps.report import read_inputs
from evoptim.store import open_store
from evoptim.store.layout import report_key
from evoptim.verbs.searching import DEFAULT_STORE


def make_report(run: str, store: str = DEFAULT_STORE) -> str:
    """The report of a run as HTML; of an unfinished one, what is known so far.

    Raises:
        InputError: there is no such run, or one of its objects is broken.
    """
    opened = open_store(store)
    page = report_key(run, "index.html")
    if opened.exists(page):
        return opened.get(page).decode()
    return render(read_inputs(opened, run))
