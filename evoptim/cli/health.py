"""``evoptim health``."""

from __future__ import annotations

import click


@click.command(short_help="Check that a step could run here, as a container's health command.")
@click.option(
    "--store",
    envvar="EVOPTIM_STORE",
    show_envvar=True,
    help="Folder or s3://bucket/prefix that must answer.  [default: none is asked]",
)
def health(store: str | None) -> None:
    """Check that a step could run here: torch, the pipeline, a temporary folder, the store.

    Prints a line for each thing that is sound; ends with 1 or 2 and one line at the first that is
    not. It takes seconds, most of them to import torch, and writes nothing.
    """
    from evoptim.verbs import check_health

    for line in check_health(store):
        click.echo(line)
