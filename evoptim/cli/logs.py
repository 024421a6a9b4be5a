"""``evoptim logs``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from evoptim.cli.cluster_options import store_option
from evoptim.cli.options import run_option
from evoptim.cli.output import console, interruptible, log_to_stderr, next_command

if TYPE_CHECKING:
    from pipelines.submit.pod_logs import PodLog


@click.command(short_help="Print what the pods of a run print, those that failed first.")
@store_option
@run_option
@click.option("--step", help="A part of the name of a step or a pod, such as select or g003.")
@click.option(
    "-f",
    "--follow",
    is_flag=True,
    help="Go on with what they print, and with pods that come later, until the run has ended.",
)
@click.option(
    "--tail",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    help="Lines of each pod, counted from the end.",
)
@click.option(
    "--pods",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="How many pods; with --follow so many at a time.",
)
def logs(store: str, run: str, step: str | None, follow: bool, tail: int, pods: int) -> None:
    """Print the end of what pods of a run printed: of those that failed, else of those at work.

    Only pods that the cluster still has: what is kept of the others is in the store.

    With --follow, pods at work are followed to the run's end: new ones as they come, and those
    that fail or cannot start say why. Interrupting it leaves the run at work. Of a run that has
    ended, the end of the logs is printed once.

    \b
    Examples:
      evoptim logs --run second --store s3://bucket/optimizers
      evoptim logs --run second --step select --tail 500
      evoptim logs --run second --follow
      evoptim logs --run second --follow --step g003 --pods 20
    """  # noqa: D301 (click reads the backspace)
    if follow:
        _follow(store, run, step, tail, pods)
        return
    from evoptim.verbs import logs as logs_verb

    shown = 0
    for found in logs_verb(run, store, step=step, tail=tail, most=pods):
        shown += 1
        _print(found)
    if not shown:
        which = f" whose name or step has {step!r} in it" if step else ""
        console.print(
            f"The cluster has no pod of the run{which}: they are removed some time after they "
            "end. evoptim status says how it ended.",
            soft_wrap=True,
            markup=False,
        )


def _follow(store: str, run: str, step: str | None, tail: int, pods: int) -> None:
    from evoptim.verbs import follow_logs

    log_to_stderr()
    last = ""
    with interruptible("Stopped following; the run goes on."):
        for found in follow_logs(run, store, step=step, tail=tail, most=pods):
            # The lines of one pod belong together as long as no other comes between.
            heading = _heading(found)
            _print(found, heading != last)
            last = heading
    console.print(
        f"The run {run} has ended: {next_command('status', run, store)}",
        soft_wrap=True,
        markup=False,
    )


def _heading(found: PodLog) -> str:
    what = f" ({found.step})" if found.step else ""
    why = f": {found.trouble}" if found.trouble else ""
    return f"==> {found.pod}{what}, {found.phase}{why}"


def _print(found: PodLog, headed: bool = True) -> None:
    if headed:
        click.echo(_heading(found))
    if found.text:
        click.echo(found.text.rstrip("\n"))
