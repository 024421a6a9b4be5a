"""What verbs print for people and for programs."""

from __future__ import annotations

import errno
import json
import logging
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from evoptim.errors import InputError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from evoptim.analysis import Interval, Ledger, Summary
    from evoptim.analysis.result import Result
    from evoptim.verbs import SearchResult

console = Console(stderr=True, highlight=False)
"""Progress and remarks: standard error, so that standard output can be piped."""

_BLOCKS = "▁▂▃▄▅▆▇█"


def print_json(value: BaseModel | dict[str, Any]) -> None:
    """Print ``value`` as indented JSON on standard output."""
    if isinstance(value, dict):
        click.echo(json.dumps(value, indent=1, ensure_ascii=False))
        return
    from evoptim.store.pieces import json_pieces

    # An archive may have 100,000 entries: they are never text all at once.
    sys.stdout.writelines(json_pieces(value, sort_keys=False))
    click.echo()


def next_command(verb: str, run: str, store: str) -> str:
    """What to type to go on with a run."""
    return f"evoptim {verb} --run {run} --store {shlex.quote(store)}"


def log_to_stderr() -> None:
    """Show what a verb warns of."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")


@contextmanager
def interruptible(told: str) -> Iterator[None]:
    """Let Ctrl-C end the command with 130, and say what that means for the run."""
    try:
        yield
    except KeyboardInterrupt:
        console.print(f"\n{told}", soft_wrap=True, markup=False)
        raise SystemExit(130) from None


def write_text(path: Path, text: str) -> None:
    """Write the file that the user asked for.

    Raises:
        InputError: it cannot be written there.
        OSError: the disk fails.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        raise InputError(
            f"the file {str(path)!r} cannot be written: {error.strerror}; choose another with -o"
        ) from None


def out() -> Console:
    """Standard output, as wide as the terminal; wide enough for a table where there is none."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=110)


def percent(value: float | None) -> str:
    """A fraction as a percentage, or a dash."""
    return "–" if value is None else f"{value:.1%}"


def number(value: float | None) -> str:
    """A rate as people write it, or a dash."""
    return "–" if value is None else f"{value:g}"


def sparkline(values: Sequence[float], width: int = 48) -> str:
    """``values`` in [0, 1] as a row of blocks."""
    picked = [values[int(i * (len(values) - 1) / (width - 1))] for i in range(width)]
    return "".join(_BLOCKS[min(7, max(0, round(value * 7)))] for value in picked)


def print_summary(result: SearchResult) -> None:
    """The table of the finals, what they show, and where the report is."""
    summary = result.summary
    screen = out()
    screen.print(_comparison(summary))
    if result.reused:
        screen.print("This run was finished already: every evaluation was reused.")
    screen.print(f"{summary.candidates} optimizers evolved, {summary.scored} of them trained.")
    screen.print(ledger_line(summary.ledger))
    if summary.champion is None:
        screen.print("No candidate could be trained: the report says why.")
    screen.print(
        "Ranked by validation accuracy under fresh seeds; test accuracy took no part in any choice."
    )
    screen.print(summary.verdict.text)
    screen.print(f"Report: {result.report}", soft_wrap=True)


_SCREENS = {
    "duplicates": "shared as duplicates",
    "trial": "refused by the trial",
    "racing": "cut short by racing",
    "hopeless": "stopped as hopeless",
}


def ledger_line(ledger: Ledger) -> str:
    """What a run spent and spared, in a few words."""
    total = ledger.total
    parts = [f"{total.steps:,} optimizer steps in {ledger.core_seconds:,.0f} core-seconds"]
    if total.flops:
        parts.append(f"{total.flops:.1e} FLOPs")
    if ledger.waste is not None:
        parts.append(f"{ledger.waste:.1%} of the genomes' steps spent on failures")
    done = [
        f"{each.turned_away} {_SCREENS[each.name]}" + _spared(each.saved_steps)
        for each in ledger.screens
        if each.name in _SCREENS and each.turned_away
    ]
    return f"Ledger: {'; '.join(parts + done)}."


def _spared(steps: float | None) -> str:
    return f" (~{steps:,.0f} steps spared)" if steps else ""


def _comparison(summary: Summary) -> Table:
    finals = summary.finals
    table = Table(title=f"Run {summary.run} on {summary.task}", title_justify="left")
    for name, justify in (
        ("", "left"),
        ("validation", "right"),
        ("test", "right"),
        ("rate", "right"),
    ):
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("update", overflow="fold")
    for row in summary.leaders if finals is None else finals.finalists:
        table.add_row(*_row(row), style="bold" if row == summary.champion else "")
    return table


def _row(row: Result) -> tuple[str, ...]:
    from rich.markup import escape

    accuracies = (
        _measured(row.validation_accuracy, row.validation_interval),
        _measured(row.test_accuracy, row.test_interval),
    )
    update = row.formula if row.sign == 1 else f"{row.formula}  (reversed: w moves along it)"
    return (escape(row.name), *accuracies, number(row.rate), escape(update))


def _measured(accuracy: float | None, interval: Interval | None) -> str:
    """A mean with half of its 95 % interval, in percent."""
    return percent(accuracy) + ("" if interval is None else f" ± {100 * interval.half:.1f}")
