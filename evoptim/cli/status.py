"""``evoptim status``, and how the state of a run is printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from evoptim.cli.cluster_options import store_option
from evoptim.cli.options import json_option, run_option
from evoptim.cli.output import next_command, print_json

if TYPE_CHECKING:
    from evoptim.verbs import RunStatus


@click.command(short_help="Print how far a run is, and what its engine says of it.")
@store_option
@run_option
@json_option
def status(store: str, run: str, as_json: bool) -> None:
    """Print how far a run is by its store, and what its engine says of it.

    Of the engine nothing need be told: the store remembers where the run was sent. Ends with 0 as
    long as both can be asked, however the run is doing.

    \b
    Examples:
      evoptim status --run second --store s3://bucket/optimizers
      evoptim status --run second --json | jq .progress
    """  # noqa: D301 (click reads the backspace)
    from evoptim.verbs import status as status_verb

    found = status_verb(run, store)
    if as_json:
        print_json(status_json(found))
    else:
        print_status(found)
    if found.problem is not None:
        raise found.problem


def print_status(found: RunStatus) -> None:
    """Print what is known of a run, a line each."""
    rows = [("run", found.run), ("progress", _progress(found))]
    where, state = found.submission, found.engine
    if where is not None:
        rows.append(("engine", _engine_in_full(found)))
        rows.append(("sent", f"{where.submitted_at} as {where.name}, {where.profile.namespace}"))
    if found.page:
        rows.append(("page", found.page))
    rows += [("job", f"{job.name} ({job.stage}): {job.status}") for job in found.jobs]
    step = None if state is None or found.finished else state.failure()
    if step is not None:
        rows.append(("failed at", f"{step.name}{f': {step.message}' if step.message else ''}"))
    rows += [("note", remark) for remark in found.remarks]
    if found.finished:
        rows.append(("next", next_command("results", found.run, found.store)))
    for name, text in rows:
        click.echo(f"{name:<10} {text}")


def _progress(found: RunStatus) -> str:
    progress = found.progress
    parts = [f"{progress.done} of {progress.planned} evaluations"]
    if progress.stage:
        parts.append(progress.stage)
    if progress.best is not None:
        parts.append(f"best {progress.best:.1%}")
    if progress.failed:
        parts.append(f"{'at least ' if progress.unread else ''}{progress.failed} failed")
    if found.finished:
        parts.append("finished")
    return ", ".join(parts)


def _engine_in_full(found: RunStatus) -> str:
    assert found.submission is not None
    target = found.submission.target
    if found.engine is None:
        return f"{target}: not asked"
    told = f" ({found.engine.message})" if found.engine.message else ""
    return f"{target}: {found.engine.phase}{told}"


def engine_in_short(found: RunStatus) -> str:
    """What the engine says if it is not simply at work; for the end of a line of progress."""
    if found.engine is None or found.engine.phase == "running":
        return "" if found.problem is None else "the engine does not answer"
    told = f": {found.engine.message[:60]}" if found.engine.message else ""
    return f"{found.engine.phase}{told}"


def status_json(found: RunStatus) -> dict[str, Any]:
    """All that is known of a run, for programs."""
    from dataclasses import asdict

    where = found.submission
    return {
        "run": found.run,
        "store": found.store,
        "finished": found.finished,
        "ended": found.ended,
        "progress": asdict(found.progress),
        "engine": None if found.engine is None else asdict(found.engine),
        "jobs": [asdict(job) for job in found.jobs],
        "page": found.page,
        "problem": None if found.problem is None else str(found.problem),
        "remarks": list(found.remarks),
        "submission": None
        if where is None
        else where.model_dump(mode="json", exclude={"config", "profile"}),
    }
