"""``evoptim cancel``."""

from __future__ import annotations

import click

from evoptim.cli.cluster_options import store_option
from evoptim.cli.options import run_option
from evoptim.cli.output import console, interruptible, next_command


@click.command(short_help="End a run on its cluster; what it has computed is kept.")
@store_option
@run_option
def cancel(store: str, run: str) -> None:
    """End a run on its cluster, and wait until nothing of it is at work.

    Its workflow is terminated and its Jobs are deleted. What is computed stays in the store.

    \b
    Examples:
      evoptim cancel --run second --store s3://bucket/optimizers
    """  # noqa: D301 (click reads the backspace)
    from evoptim.verbs import cancel as cancel_verb

    with interruptible(
        "Interrupted; the run may have been told to end already, and end by itself. Run the same "
        "command again to end what is left of it."
    ):
        result = cancel_verb(run, store)
    state = result.state
    told = f" ({state.message})" if state.message else ""
    click.echo(f"The run {run} is {state.phase}{told}; nothing of it is at work.")
    for job in result.jobs:
        click.echo(f"deleted the Job {job}")
    for remark in result.remarks:
        console.print(f"note: {remark}", soft_wrap=True, markup=False)
    click.echo(f"To go on: {next_command('resume', run, store)}")
