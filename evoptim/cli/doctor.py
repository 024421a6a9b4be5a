"""``evoptim doctor``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from evoptim.cli.cluster_options import image_option, profile_option, read_profile, target_option
from evoptim.cli.options import json_option
from evoptim.cli.output import print_json

_MARKS = {"ok": "ok", "warning": "WARN", "failed": "FAIL", "unknown": "?"}


@click.command(short_help="Check that a cluster and a store are as a search needs them.")
@profile_option("YAML file: how pods are to run there.", required=True)
@target_option(
    "What is to run searches: Kubeflow Pipelines, or Argo Workflows alone.",
    default="kfp",
    show_default=True,
)
@image_option
@click.option(
    "--store",
    envvar="EVOPTIM_STORE",
    show_envvar=True,
    help="s3://bucket/prefix.  [default: what the ConfigMap evoptim-store says]",
)
@click.option(
    "--deep", is_flag=True, help="Also start one pod of each kind, which must see the store."
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=1),
    default=600.0,
    show_default=True,
    help="How long each pod of --deep may take, pulling the image included.",
)
@json_option
def doctor(
    profile_path: Path,
    target: Any,
    image: str | None,
    store: str | None,
    deep: bool,
    seconds: float,
    as_json: bool,
) -> None:
    """Check that a cluster and a store are as a search needs them: one line each, with the remedy.

    Looks at the API server, the engine, what you and the pods may do, the objects that the profile
    names, Pod Security, quota, limits, nodes and GPUs, the image, the store and all clocks. Nothing
    is started without --deep; in the store a trial object is written and removed.

    ok: as it should be. WARN: a search would run, but not as it should. ?: you may not look.
    FAIL: a search would not run; then the command ends with 1.

    \b
    Examples:
      evoptim doctor --profile profile.yaml --store s3://bucket/optimizers
      evoptim doctor --profile profile.yaml --target argo --deep
      evoptim doctor --profile profile.yaml --json | jq '.findings[] | select(.verdict != "ok")'
    """  # noqa: D301 (click reads the backspace)
    from evoptim.verbs import diagnose

    profile = read_profile(profile_path, image)
    findings = []
    for found in diagnose(profile, target, store, start_pods=deep, seconds=seconds):
        findings.append(found)
        if not as_json:
            click.echo(f"{_MARKS[found.verdict]:<5} {found.check:<12} {found}")
    failed = sum(each.verdict == "failed" for each in findings)
    if as_json:
        print_json({"failed": failed, "findings": [asdict(each) for each in findings]})
    else:
        click.echo(f"{len(findings)} checks, {failed} failed")
    if failed:
        raise SystemExit(1)
