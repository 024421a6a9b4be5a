"""``evoptim results`` and ``evoptim report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from evoptim.cli.options import json_option
from evoptim.cli.output import console, ledger_line, number, out, percent, print_json, write_text
from evoptim.cli.place import run_place
from evoptim.cli.reading import reading

if TYPE_CHECKING:
    from rich.table import Table

    from evoptim.records import ArchiveEntry


@click.command(short_help="Print the ranking of a run, finished or not.")
@run_place
@click.option(
    "--top", type=click.IntRange(min=1), default=20, show_default=True, help="Rows to print."
)
@json_option
def results(store: str, run: str, top: int, as_json: bool) -> None:
    """Print what a run has evaluated, ranked; also while it is still running.

    Validation accuracy ranks; the test accuracy beside it takes no part. RUN:RANK names a row to
    evoptim show and evoptim check. PLACE is a store, or a run in it: STORE/runs/NAME.

    \b
    Examples:
      evoptim results --run quickstart-s0
      evoptim results s3://bucket/prefix/runs/quickstart-s0
      evoptim results --run quickstart-s0 --json > archive.json
    """  # noqa: D301 (click reads the backspace)
    from evoptim.verbs import ledger
    from evoptim.verbs import results as results_verb

    with reading() as on_read:
        archive = results_verb(run, store, on_read=on_read)
    if as_json:
        print_json(archive)
        return
    screen = out()
    screen.print(_table(f"Run {run}: evolved", archive.entries[:top]))
    if len(archive.entries) > top:
        screen.print(f"{len(archive.entries) - top} more; --top shows them, --json all.")
    screen.print(_table("Baselines", archive.baselines))
    if (spent := ledger(run, store)) is not None:
        screen.print(ledger_line(spent))


def _table(title: str, entries: tuple[ArchiveEntry, ...]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name in ("rank", "validation", "test", "rate"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    table.add_column("update", overflow="fold")
    for each in entries:
        table.add_row(
            str(each.rank),
            percent(each.fitness),
            percent(each.test_accuracy),
            number(each.rate),
            each.outcome.value,
            escape(each.candidate.formula + _reversed(each)),
        )
    return table


def _reversed(entry: ArchiveEntry) -> str:
    gene = entry.candidate.gene
    reversed_ = gene is not None and gene.get("sign") == -1
    return "  (reversed: w moves along it)" if reversed_ else ""


@click.command(short_help="Write the report of a run as one HTML file.")
@run_place
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="HTML file to write.  [default: <run>.html]",
)
def report(store: str, run: str, output: Path | None) -> None:
    """Write the report of a run as one HTML file that opens offline.

    Of a run that is not finished it shows what is known so far. PLACE is a store, or a run in it:
    STORE/runs/NAME.
    """
    from evoptim.verbs import make_report

    path = output or Path(f"{run}.html")
    with reading() as on_read:
        html = make_report(run, store, on_read=on_read)
    write_text(path, html)
    console.print(f"Wrote {path}", soft_wrap=True)
