"""Which run a user means: by name and store, or by the URL or folder where it lies."""

from __future__ import annotations

import functools
from collections.abc import Callable

import click

from evoptim.cli.options import store_option


def run_place(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command ``store`` and ``run``, named by options or by a place of the run itself."""

    @functools.wraps(command)
    def placed(place: str | None, store: str, run: str | None, **others: object) -> None:
        if place is not None:
            store, run = _split(place, run)
        if run is None:
            raise click.UsageError("say which run: --run NAME, or STORE/runs/NAME")
        command(store=store, run=run, **others)

    for add in (
        click.option("--run", help="Name of the run, unless PLACE names it."),
        store_option,
        click.argument("place", required=False, metavar="[PLACE]"),
    ):
        placed = add(placed)
    return placed


def _split(place: str, run: str | None) -> tuple[str, str | None]:
    """Store and run of ``STORE/runs/NAME``; of any other place, the store alone."""
    store, between, name = place.rstrip("/").rpartition("/runs/")
    if not between or "/" in name:
        return place, run
    if run not in (None, name):
        raise click.UsageError(f"{place} is the run {name!r}, and --run names {run!r}: give one")
    return store, name
