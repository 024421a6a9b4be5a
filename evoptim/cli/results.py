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

    from evoptim.records import Archive, ArchiveEntry


@click.command(short_help="Print the ranking of a run, finished or not.")
@run_place
@click.option(
    "--top", type=click.IntRange(min=1), default=20, show_default=True, help="Rows to print."
)
@click.option("--search", is_flag=True, help="The search's ranking, also after the finals.")
@json_option
def results(store: str, run: str, top: int, search: bool, as_json: bool) -> None:
    """Print what a run has found, ranked; also while it is still running.

    Once there are finals it is these: the best of the search and the baselines under fresh seeds.
    Before them, and with --search, it is the ranking of the search. Validation accuracy ranks; the
    test accuracy beside it takes no part. To evoptim show, check and export RUN:best is the best
    one, and RUN:3 is Evolved 3, of rank 3 in the search. PLACE is a store, or a run in it:
    STORE/runs/NAME.

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
    from evoptim.analysis import finals_held

    screen = out()
    if finals_held(archive) and not search:
        screen.print(_table(f"Run {run}: finals", archive.finals, archive))
        screen.print(
            "The report has intervals, and what they show; --search prints the search's ranking."
        )
        return
    screen.print(_table(f"Run {run}: search", archive.entries[:top], archive))
    if len(archive.entries) > top:
        screen.print(f"{len(archive.entries) - top} more; --top shows them, --json all.")
    if (spent := ledger(run, store)) is not None:
        screen.print(ledger_line(spent))


def _table(title: str, entries: tuple[ArchiveEntry, ...], archive: Archive) -> Table:
    from rich.markup import escape
    from rich.table import Table

    from evoptim.analysis import name_of

    ranks = {each.candidate.id: each.rank for each in archive.entries}
    table = Table(title=title, title_justify="left")
    table.add_column("rank", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for name in ("validation", "test", "rate"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    table.add_column("update", overflow="fold")
    for each in entries:
        table.add_row(
            str(each.rank),
            escape(name_of(each, ranks.get(each.candidate.id, 0))),
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
