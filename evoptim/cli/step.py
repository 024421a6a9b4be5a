"""``evoptim step``: what containers run."""

from __future__ import annotations

import json
import logging
import os
import sys
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click
from click.core import ParameterSource

from evoptim.cli.options import run_option, store_option
from evoptim.errors import InputError

if TYPE_CHECKING:
    from evoptim.store import Stage
    from pipelines.profile import ClusterProfile


@click.group(short_help="Run one step of the pipeline, as a container does.", no_args_is_help=False)
def step() -> None:
    """Run one step of the pipeline, as a container does.

    Steps read and write the store only, and a step that finds its output there does nothing.

    \b
    A search is, in this order:
      initialise
      propose, evaluate (each chunk that propose prints), select   for generation 0, 1, ...
      propose-finals, evaluate-finals (each chunk)                 the best and the baselines
      report
    On a cluster the step generation does all of a generation.
    """  # noqa: D301 (click reads the backspace)


_generation = click.option(
    "--generation", type=click.IntRange(min=0), required=True, help="Number of the generation."
)


def _chunk_of_task(context: click.Context, parameter: click.Parameter, value: int) -> int:
    """Number of the chunk: as given, or that of this task of an Indexed Job."""
    from evoptim.steps.chunks import CHUNKS_VARIABLE, chunk_at

    source = context.get_parameter_source(parameter.name or "")
    listed = os.environ.get(CHUNKS_VARIABLE)
    return chunk_at(value, listed if source is ParameterSource.ENVIRONMENT else None)


_chunk = click.option(
    "--chunk",
    type=click.IntRange(min=0),
    required=True,
    envvar="JOB_COMPLETION_INDEX",
    show_envvar=True,
    callback=_chunk_of_task,
    help="Number of the chunk, from 0.",
)
_size = click.option(
    "--candidates-per-task",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Candidates in a chunk.",
)
_patience = click.option(
    "--patience",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="End the run when so many generations have found nothing better; 0: never.",
)
_missing = click.option(
    "--missing", is_flag=True, help="Print only the chunks that lack an evaluation."
)


@step.command()
@store_option
@run_option
@click.option("--config", required=True, help="The configuration as JSON, or @FILE.")
@_patience
def initialise(store: str, run: str, config: str, patience: int) -> None:
    """Fix the configuration of a run; prints the first generation that lacks anything, or "end"."""
    from evoptim import steps

    if config.startswith("@"):
        try:
            config = Path(config[1:]).read_text(encoding="utf-8")
        except OSError as error:
            raise InputError(f"{config[1:]!r} cannot be read: {error.strerror}") from None
    # Engines read standard output, and libraries that fetch data print to it.
    with redirect_stdout(sys.stderr):
        steps.initialise(store, run, config)
    click.echo(steps.next_turn(store, run, patience))


@step.command()
@store_option
@run_option
@_generation
@_size
@_missing
def propose(store: str, run: str, generation: int, candidates_per_task: int, missing: bool) -> None:
    """Write the candidates of a generation; prints the chunk numbers as JSON."""
    from evoptim import steps
    from evoptim.store import Stage

    chunks = steps.propose(store, run, generation, candidates_per_task)
    _print_chunks(chunks, store, run, Stage.generation(generation), candidates_per_task, missing)


def _print_chunks(
    chunks: list[int], store: str, run: str, stage: Stage, size: int, missing: bool
) -> None:
    from evoptim import steps

    if missing:
        chunks = list(steps.missing_chunks(store, run, stage, size).chunks)
    click.echo(json.dumps(chunks))


@step.command()
@store_option
@run_option
@_generation
@_chunk
@_size
@click.option("--wait", is_flag=True, help="Wait for candidates that are still to be proposed.")
def evaluate(
    store: str, run: str, generation: int, chunk: int, candidates_per_task: int, wait: bool
) -> None:
    """Train the candidates of one chunk."""
    from evoptim import steps

    steps.evaluate(store, run, generation, chunk, candidates_per_task, wait=wait)


_profile_json = click.option(
    "--profile-json", required=True, help="The cluster profile as JSON, or @FILE (JSON or YAML)."
)


@step.command("generation")
@store_option
@run_option
@_generation
@_size
@_profile_json
@_patience
def whole_generation(
    store: str,
    run: str,
    generation: int,
    candidates_per_task: int,
    profile_json: str,
    patience: int,
) -> None:
    """Propose, train in one Indexed Job, and select; prints the next generation, or "end".

    Makes the Job first, so that its pods start meanwhile, watches it to its end and adopts one that
    is at work already. Interrupted, it deletes it.
    """
    from evoptim import steps
    from pipelines.generation import run_generation

    # Engines read standard output.
    _log_to(sys.stderr)
    profile = _read_profile(profile_json)
    say = partial(click.echo, err=True)
    run_generation(store, run, generation, candidates_per_task, profile, log=say)
    click.echo(steps.next_turn(store, run, patience, generation))


@step.command("evaluate-finals-fanout")
@store_option
@run_option
@_size
@_profile_json
def evaluate_finals_fanout(
    store: str, run: str, candidates_per_task: int, profile_json: str
) -> None:
    """Train the finalists and baselines in one Indexed Job.

    Watches the Job to its end and adopts one that is at work already. Interrupted, it deletes it.
    """
    from evoptim.store import Stage
    from pipelines.fanout import evaluate_fanout

    _log_to(sys.stdout)
    profile = _read_profile(profile_json)
    evaluate_fanout(store, run, Stage.finals(), candidates_per_task, profile)


def _log_to(stream: TextIO) -> None:
    """Show what the client of the cluster warns of."""
    logging.basicConfig(stream=stream, level=logging.INFO, format="%(levelname)s: %(message)s")


def _read_profile(given: str) -> ClusterProfile:
    from pipelines.profile_reading import profile_from_json, read_profile_file

    if given.startswith("@"):
        return read_profile_file(Path(given[1:]))
    return profile_from_json(given)


@step.command()
@store_option
@run_option
@_generation
@_patience
def select(store: str, run: str, generation: int, patience: int) -> None:
    """Write the population that a generation leaves; prints the next generation, or "end"."""
    from evoptim import steps

    steps.select(store, run, generation)
    click.echo(steps.next_turn(store, run, patience, generation))


@step.command("propose-finals")
@store_option
@run_option
@_size
@_patience
@_missing
def propose_finals(
    store: str, run: str, candidates_per_task: int, patience: int, missing: bool
) -> None:
    """Write who is in the finals, when the search is over; prints the chunk numbers as JSON."""
    from evoptim import steps
    from evoptim.store import Stage

    chunks = steps.propose_finals(store, run, candidates_per_task, patience)
    _print_chunks(chunks, store, run, Stage.finals(), candidates_per_task, missing)


@step.command("evaluate-finals")
@store_option
@run_option
@_chunk
@_size
def evaluate_finals(store: str, run: str, chunk: int, candidates_per_task: int) -> None:
    """Train the finalists and baselines of one chunk."""
    from evoptim import steps

    steps.evaluate_finals(store, run, chunk, candidates_per_task)


@step.command()
@store_option
@run_option
@_patience
@click.option(
    "--unfinished",
    type=click.Choice(["refuse", "tell"]),
    default="refuse",
    show_default=True,
    help="What to do with an unfinished run; tell: print how far it is, and succeed.",
)
def report(store: str, run: str, patience: int, unfinished: str) -> None:
    """Write the archive, the summary, the champion and the report."""
    from evoptim import steps

    try:
        steps.report(store, run, patience)
    except InputError as error:
        if unfinished == "refuse":
            raise
        click.echo(f"not reported: {error}")
