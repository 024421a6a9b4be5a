"""How far the reading of a run has come: shown only where it takes more than a moment."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from evoptim.cli.output import console

if TYPE_CHECKING:
    from rich.progress import Progress

    from evoptim.steps.reading import OnRead

_PATIENCE = 1.0
"""Seconds without a word."""
_PLAIN_SECONDS = 15.0
"""Seconds between two lines where standard error is no terminal."""


@contextmanager
def reading() -> Iterator[OnRead]:
    """A bar on a terminal, else a line now and then, while evaluations are read."""
    bar: Progress | None = None
    said = began = time.monotonic()

    def on_read(done: int, total: int) -> None:
        nonlocal bar, said
        now = time.monotonic()
        if console.is_terminal:
            if bar is None and now - began > _PATIENCE and done < total:
                bar = _bar()
                bar.start()
            if bar is not None:
                bar.update(bar.task_ids[0], completed=done, total=total)
        elif now - said > _PLAIN_SECONDS:
            said = now
            print(f"read {done} of {total} evaluations", file=sys.stderr, flush=True)

    try:
        yield on_read
    finally:
        if bar is not None:
            bar.stop()


def _bar() -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    bar = Progress(
        "reading evaluations",
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    bar.add_task("")
    return bar
