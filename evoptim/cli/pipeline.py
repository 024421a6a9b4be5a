"""``evoptim compile`` and ``evoptim step``."""

from __future__ import annotations

import json
import logging
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
from click.core import ParameterSource

from evoptim.cli.options import build_config, config_options, store_option
from evoptim.cli.output import console, write_text
from evoptim.errors import InputError

if TYPE_CHECKING:
    from evoptim.config import RunConfig
    from evoptim.store import Stage


@click.command("compile", short_help="Write the search for Kubeflow Pipelines or Argo Workflows.")
@config_options
@click.option(
    "--target",
    type=click.Choice(["kfp", "argo"]),
    default="kfp",
    show_default=True,
    help="The engine. argo: a WorkflowTemplate of Argo Workflows, without Kubeflow Pipelines.",
)
@click.option("--image", help="Container image of every step; changes the profile's.")
@click.option(
    "--profile",
    "profile_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="YAML file: how pods run on the cluster.",
)
@click.option(
    "--print-profile", is_flag=True, help="Print a commented profile to start from, and exit."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="YAML file to write.  [default: standard output]",
)
def compile_(
    config_path: Path | None,
    preset_name: str | None,
    task: str | None,
    data: str | None,
    seed: int | None,
    settings: tuple[str, ...],
    target: Literal["kfp", "argo"],
    image: str | None,
    profile_path: Path | None,
    print_profile: bool,
    output: Path | None,
) -> None:
    """Write the search as a Kubeflow pipeline (KFP v2 IR) or an Argo WorkflowTemplate, in YAML.

    The pipeline is unrolled for the configuration's number of generations; everything else is
    passed to it as parameters: store, run, config (JSON) and candidates_per_task.

    With a profile it also says how its pods run. What the search will ask of the cluster is then
    counted first, and one that cannot fit is refused.

    For Argo one template serves every configuration, and its parameter patience ends runs early
    that find nothing better.

    \b
    Examples:
      evoptim compile > search.yaml
      evoptim compile --set search.generations=20 --image registry/evoptim:1 -o search.yaml
      evoptim compile --print-profile > profile.yaml
      evoptim compile --profile profile.yaml -o search.yaml
      evoptim compile --target argo --profile profile.yaml | kubectl apply -f -
    """  # noqa: D301 (click reads the backspace)
    if print_profile:
        from pipelines.profile_reading import default_profile_text

        click.echo(default_profile_text(), nl=False)
        return
    config = build_config(config_path, preset_name, task, data, seed, settings)
    text = _compiled(config, target, image, profile_path)
    if output is None:
        click.echo(text, nl=False)
        return
    write_text(output, text)
    console.print(f"Wrote {output} ({len(text):,} bytes)", soft_wrap=True)


def _compiled(
    config: RunConfig, target: Literal["kfp", "argo"], image: str | None, profile_path: Path | None
) -> str:
    from evoptim.verbs import compile_for_cluster, compile_pipeline

    if profile_path is None and target == "kfp":
        return compile_pipeline(config, image)
    from pipelines.preflight import plan_text
    from pipelines.profile_reading import read_profile, read_profile_file

    changes = {} if image is None else {"image": image}
    if profile_path is None:
        profile = read_profile(settings=changes)
    else:
        profile = read_profile_file(profile_path, changes)
    compiled = compile_for_cluster(config, profile, target)
    console.print(plan_text(compiled.plan), soft_wrap=True)
    return compiled.text


@click.group(short_help="Run one step of the pipeline, as a container does.", no_args_is_help=False)
def step() -> None:
    """Run one step of the pipeline, as a container does.

    Steps read and write the store only, and a step that finds its output there does nothing.

    \b
    A search is, in this order:
      initialise
      propose, evaluate (each chunk that propose prints), select   for generation 0, 1, ...
      propose-baselines, evaluate-baselines (each chunk)
      report
    """  # noqa: D301 (click reads the backspace)


_run = click.option("--run", required=True, help="Name of the run.")
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
@_run
@click.option("--config", required=True, help="The configuration as JSON, or @FILE.")
@_patience
def initialise(store: str, run: str, config: str, patience: int) -> None:
    """Fix the configuration of a run; prints the first generation to do, or "end"."""
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
@_run
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
@_run
@_generation
@_chunk
@_size
def evaluate(store: str, run: str, generation: int, chunk: int, candidates_per_task: int) -> None:
    """Train the candidates of one chunk."""
    from evoptim import steps

    steps.evaluate(store, run, generation, chunk, candidates_per_task)


_profile_json = click.option(
    "--profile-json", required=True, help="The cluster profile as JSON, or @FILE (JSON or YAML)."
)


@step.command("evaluate-fanout")
@store_option
@_run
@_generation
@_size
@_profile_json
def evaluate_fanout(
    store: str, run: str, generation: int, candidates_per_task: int, profile_json: str
) -> None:
    """Train all candidates of a generation in one Indexed Job.

    Watches the Job to its end and adopts one that is at work already. Interrupted, it deletes it.
    """
    _fan_out(store, run, generation, candidates_per_task, profile_json)


@step.command("evaluate-baselines-fanout")
@store_option
@_run
@_size
@_profile_json
def evaluate_baselines_fanout(
    store: str, run: str, candidates_per_task: int, profile_json: str
) -> None:
    """Train the baselines in one Indexed Job."""
    _fan_out(store, run, None, candidates_per_task, profile_json)


def _fan_out(store: str, run: str, number: int | None, size: int, profile_json: str) -> None:
    from evoptim.store import Stage
    from pipelines.fanout import evaluate_fanout
    from pipelines.profile_reading import profile_from_json, read_profile_file

    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(levelname)s: %(message)s")
    if profile_json.startswith("@"):
        profile = read_profile_file(Path(profile_json[1:]))
    else:
        profile = profile_from_json(profile_json)
    stage = Stage.baselines() if number is None else Stage.generation(number)
    evaluate_fanout(store, run, stage, size, profile)


@step.command()
@store_option
@_run
@_generation
@_patience
def select(store: str, run: str, generation: int, patience: int) -> None:
    """Write the population that a generation leaves; prints the next generation, or "end"."""
    from evoptim import steps

    steps.select(store, run, generation)
    click.echo(steps.next_turn(store, run, patience))


@step.command("propose-baselines")
@store_option
@_run
@_size
@_missing
def propose_baselines(store: str, run: str, candidates_per_task: int, missing: bool) -> None:
    """Write the baselines as candidates; prints the chunk numbers as JSON."""
    from evoptim import steps
    from evoptim.store import Stage

    chunks = steps.propose_baselines(store, run, candidates_per_task)
    _print_chunks(chunks, store, run, Stage.baselines(), candidates_per_task, missing)


@step.command("evaluate-baselines")
@store_option
@_run
@_chunk
@_size
def evaluate_baselines(store: str, run: str, chunk: int, candidates_per_task: int) -> None:
    """Train the baselines of one chunk."""
    from evoptim import steps

    steps.evaluate_baselines(store, run, chunk, candidates_per_task)


@step.command()
@store_option
@_run
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
