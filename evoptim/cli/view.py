"""How far a search has come, shown on a terminal and in a log."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING

from evoptim.cli.output import console

if TYPE_CHECKING:
    from evoptim.verbs import Status

_PLAIN_SECONDS = 15.0


class View:
    """Progress on one line; where output is no terminal, a line now and then."""

    def __init__(self, run: str) -> None:
        from rich.progress import (
            BarColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self.run = run
        self.plain = not console.is_terminal
        self.last: Status | None = None
        self.found = 0.0
        self.printed = self.began = time.monotonic()
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=self.plain,
            transient=True,
            # Trainings take from a second to an hour: the estimate looks back over all of them.
            speed_estimate_period=math.inf,
        )
        self.task = self.progress.add_task("starting", total=None, note="", count="")

    def __enter__(self) -> View:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def images(self, done: int, total: int) -> None:
        self.progress.update(
            self.task,
            description="reading images",
            completed=done,
            total=total,
            count=f"{done}/{total}",
        )

    def status(self, status: Status, remark: str = "") -> None:
        """Show how far the search is; the remark stands after it."""
        stage = status.stage or "starting"
        if status.done == status.planned:
            stage = "writing the report"
        best = "" if status.best is None else f"best {status.best:.1%}"
        failed = f"{status.failed} failed" if status.failed else ""
        note = ", ".join(part for part in (best, failed, remark) if part)
        count = f"{status.done}/{status.planned}"
        if self.last is None:
            # The estimate counts neither the reading of data nor what was there already.
            self.found, self.began = status.share, time.monotonic()
            self.progress.reset(self.task, total=1.0, note=note, count=count)
        self.progress.update(
            self.task,
            description=stage,
            completed=status.share,
            total=1.0,
            note=note,
            count=count,
        )
        self.last = status
        if self.plain and time.monotonic() - self.printed > _PLAIN_SECONDS:
            self.printed = time.monotonic()
            seconds = self.printed - self.began
            new = status.share - self.found
            left = seconds / new * (1.0 - status.share) if new else None
            estimate = "" if left is None else f", about {left:.0f} s left"
            line = f"{stage}: {status.done} of {status.planned} evaluations{estimate}"
            print(f"{line}, {note}" if note else line, file=sys.stderr, flush=True)

    def kept(self) -> str:
        if self.last is None:
            return "What is finished is kept."
        return f"{self.last.done} of {self.last.planned} evaluations are kept."
