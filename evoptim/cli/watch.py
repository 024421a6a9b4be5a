"""``evoptim watch``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from evoptim.cli.cluster_options import store_option
from evoptim.cli.options import json_option, run_option
from evoptim.cli.output import console, next_command, print_json
from evoptim.cli.status import engine_in_short, print_status, status_json
from evoptim.errors import InfrastructureError

if TYPE_CHECKING:
    from evoptim.verbs import RunStatus

_SECONDS = 10.0


@click.command(short_help="Follow a run on a cluster to its end.")
@store_option
@run_option
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.1),
    default=_SECONDS,
    show_default=True,
    help="Between two looks.",
)
@json_option
def watch(store: str, run: str, seconds: float, as_json: bool) -> None:
    """Follow a run on a cluster until it is finished, failed, cancelled or deleted there.

    Interrupting it leaves the run at work. Ends with 0 when the report is there, else with 1.

    \b
    Examples:
      evoptim watch --run second --store s3://bucket/optimizers
      evoptim watch --run second --seconds 60 && evoptim report --run second
    """  # noqa: D301 (click reads the backspace)
    follow_run(run, store, seconds, as_json)


def follow_run(run: str, store: str, seconds: float = _SECONDS, as_json: bool = False) -> None:
    """Show how a run goes on until it ends, then how it ended.

    Raises:
        InfrastructureError: it ended without a report.
        SystemExit: interrupted; the run goes on.
    """
    from evoptim.cli.view import View
    from evoptim.verbs import watch as watch_verb

    view = View(run)

    def show(found: RunStatus) -> None:
        view.status(found.progress, engine_in_short(found))

    try:
        with view:
            found = watch_verb(run, store, show, seconds=seconds)
    except KeyboardInterrupt:
        console.print(
            f"\nStopped watching; the run goes on. {view.kept()}", soft_wrap=True, markup=False
        )
        raise SystemExit(130) from None
    if as_json:
        print_json(status_json(found))
    else:
        print_status(found)
    if not found.finished:
        raise InfrastructureError(_ending(found))


def _ending(found: RunStatus) -> str:
    """Why a run has ended without a report, and what to do."""
    assert found.engine is not None
    phase = found.engine.phase
    again = next_command("resume", found.run, found.store)
    if phase == "succeeded":
        return (
            f"the engine says that the run {found.run} succeeded, but its report is not in "
            f"{found.store}: see the log of its steps, then {again}"
        )
    words = {"gone": "was deleted from its engine", "cancelled": "was cancelled"}
    step = found.engine.failure()
    where = f" at {step.name}" if step else ""
    why = (step.message if step else "") or found.engine.message
    told = f" ({why[:300]})" if why else ""
    see = "" if phase == "gone" else f"see {next_command('logs', found.run, found.store)}, then "
    return f"the run {found.run} {words.get(phase, 'failed')}{where}{told}: {see}{again}"
