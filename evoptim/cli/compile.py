"""``evoptim compile``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from evoptim.cli.cluster_options import image_option, profile_option, read_profile, target_option
from evoptim.cli.options import ConfigChoice, config_options
from evoptim.cli.output import console, write_text

if TYPE_CHECKING:
    from evoptim.config import RunConfig


@click.command("compile", short_help="Write the search for Kubeflow Pipelines or Argo Workflows.")
@config_options
@target_option(
    "The engine. argo: a WorkflowTemplate of Argo Workflows, without Kubeflow Pipelines.",
    default="kfp",
    show_default=True,
)
@image_option
@profile_option("YAML file: how pods run on the cluster.")
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
    choice: ConfigChoice,
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
    text = _compiled(choice.read(), target, image, profile_path)
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

    compiled = compile_for_cluster(config, read_profile(profile_path, image), target)
    console.print(plan_text(compiled.plan), soft_wrap=True)
    return compiled.text
