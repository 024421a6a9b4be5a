"""``evoptim submit`` and ``evoptim resume``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evoptim.cli.cluster_options import (
    image_option,
    patience_option,
    profile_option,
    read_profile,
    store_option,
    target_option,
    then_watch_option,
)
from evoptim.cli.options import ConfigChoice, config_options, json_option, run_option
from evoptim.cli.output import console, interruptible, log_to_stderr, next_command, print_json
from evoptim.cli.watch import follow_run
from evoptim.errors import InputError

if TYPE_CHECKING:
    from evoptim.verbs import Submitted

_INTERRUPTED = (
    "Interrupted; the cluster may have the run by now, and what it has goes on. Run the same "
    "command again: it starts nothing twice."
)


@click.command(short_help="Start a search on a cluster, or continue one there.")
@config_options
@target_option("What runs it: Kubeflow Pipelines, or Argo Workflows alone.", required=True)
@profile_option(
    "YAML file: how pods run there; see evoptim compile --print-profile.", required=True
)
@image_option
@store_option
@click.option("--run", help="Name of the run.  [default: <preset or file>-s<seed>]")
@patience_option
@then_watch_option
@json_option
def submit(
    choice: ConfigChoice,
    target: Any,
    profile_path: Path,
    image: str | None,
    store: str,
    run: str | None,
    patience: int,
    then_watch: bool,
    as_json: bool,
) -> None:
    """Start a search on a cluster; returns at once.

    What the search will ask of the cluster is counted first, and one that cannot fit is refused.
    Where it went is remembered in the store, so that every other verb needs its name and the store
    only. Submitted again, a run that is at work is left alone, and one that was stopped goes on.

    --data is a path in the pods: mount it with the profile.

    \b
    How the engine is found:
      kfp    KFP_ENDPOINT (or KF_PIPELINES_ENDPOINT), with KFP_TOKEN or KFP_COOKIES and
             KFP_CA_BUNDLE; in a pod the service ml-pipeline of KFP_NAMESPACE (kubeflow); else
             through the cluster of the kubeconfig
      argo   the cluster of KUBECONFIG or ~/.kube/config; in a pod its service account

    \b
    Examples:
      evoptim submit --target kfp --profile profile.yaml --store s3://bucket/optimizers
      evoptim submit --target argo --profile profile.yaml --config run.yaml --run second --watch
      KFP_ENDPOINT=https://kubeflow.example/pipeline KFP_TOKEN=... evoptim submit --target kfp ...
    """  # noqa: D301 (click reads the backspace)
    log_to_stderr()
    data = choice.data
    if data is not None and not Path(data).is_absolute():
        raise InputError(f"--data is a path in the pods, and absolute there, got {data!r}")
    config = choice.read()
    profile = read_profile(profile_path, image)
    name = run if run is not None else choice.run_name(config)
    from evoptim.verbs import submit as submit_verb

    with interruptible(_INTERRUPTED):
        result = submit_verb(config, profile, name, store, target, patience=patience)
    _print_submitted(name, store, result, as_json)
    if then_watch:
        follow_run(name, store)


@click.command(short_help="Submit a run again, as it was; what it has computed is reused.")
@store_option
@run_option
@target_option("Another engine than before.")
@profile_option("Another profile than before: more memory, another image, fewer pods at a time.")
@then_watch_option
@json_option
def resume(
    store: str,
    run: str,
    target: Any,
    profile_path: Path | None,
    then_watch: bool,
    as_json: bool,
) -> None:
    """Submit a run again with the configuration and the profile that it has.

    Whatever ended it, only what is missing in the store is computed. A run that is at work is left
    alone.

    \b
    Examples:
      evoptim resume --run second --store s3://bucket/optimizers
      evoptim resume --run second --store s3://bucket/optimizers --profile more-memory.yaml
    """  # noqa: D301 (click reads the backspace)
    from evoptim.verbs import resume as resume_verb

    log_to_stderr()
    profile = None if profile_path is None else read_profile(profile_path)
    with interruptible(_INTERRUPTED):
        result = resume_verb(run, store, profile=profile, target=target)
    _print_submitted(run, store, result, as_json)
    if then_watch:
        follow_run(run, store)


def _print_submitted(run: str, store: str, result: Submitted, as_json: bool) -> None:
    where = result.submission
    if as_json:
        told = None if where is None else where.model_dump(mode="json", exclude={"config"})
        print_json({"outcome": result.outcome, "run": run, "page": result.page, "at": told})
        return
    if result.outcome == "finished":
        click.echo(f"The run {run} is finished already: {next_command('results', run, store)}")
        return
    assert where is not None
    if result.plan is not None:
        from pipelines.preflight import plan_text

        console.print(plan_text(result.plan), soft_wrap=True, markup=False)
    verb = "Submitted the run" if result.outcome == "submitted" else "At work already: the run"
    click.echo(f"{verb} {run} as {where.name} ({where.target}, {where.profile.namespace})")
    if result.page:
        click.echo(f"See it:    {result.page}")
    click.echo(f"Follow it: {next_command('watch', run, store)}")
