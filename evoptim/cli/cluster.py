"""``evoptim submit``, ``status``, ``watch``, ``logs``, ``cancel``, ``resume``."""

from __future__ import annotations

import logging
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evoptim.cli.options import build_config, config_options, default_run_name, json_option
from evoptim.cli.output import console, print_json
from evoptim.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from evoptim.verbs import RunStatus, Submitted
    from pipelines.profile import ClusterProfile

_run_option = click.option("--run", required=True, help="Name of the run.")
_store_option = click.option(
    "--store",
    required=True,
    envvar="EVOPTIM_STORE",
    show_envvar=True,
    help="Where runs are kept: s3://bucket/prefix (credentials and endpoint from boto3's own "
    "settings, such as AWS_ENDPOINT_URL).",
)
_target_choice = click.Choice(["kfp", "argo"])


@click.command(short_help="Start a search on a cluster, or continue one there.")
@config_options
@click.option(
    "--target",
    type=_target_choice,
    required=True,
    help="What runs it: Kubeflow Pipelines, or Argo Workflows alone.",
)
@click.option(
    "--profile",
    "profile_path",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="YAML file: how pods run there; see evoptim compile --print-profile.",
)
@click.option("--image", help="Container image of every step; changes the profile's.")
@_store_option
@click.option("--run", help="Name of the run.  [default: <preset or file>-s<seed>]")
@click.option(
    "--patience",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="End the search when so many generations have found nothing better; 0: never. Argo only.",
)
@click.option("--watch", "then_watch", is_flag=True, help="Follow it to its end.")
@json_option
def submit(
    config_path: Path | None,
    preset_name: str | None,
    task: str | None,
    data: str | None,
    seed: int | None,
    settings: tuple[str, ...],
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
    from pipelines.profile_reading import read_profile_file

    _log_to_stderr()
    if data is not None and not Path(data).is_absolute():
        raise InputError(f"--data is a path in the pods, and absolute there, got {data!r}")
    config = build_config(config_path, preset_name, task, data, seed, settings)
    profile = read_profile_file(profile_path, {} if image is None else {"image": image})
    name = run if run is not None else default_run_name(config_path, preset_name, task, config.seed)
    from evoptim.verbs import submit as submit_verb

    result = submit_verb(config, profile, name, store, target, patience=patience)
    _print_submitted(name, store, result, as_json)
    if then_watch:
        _watch(name, store, 10.0, False)


@click.command(short_help="Submit a run again, as it was; what it has computed is reused.")
@_store_option
@_run_option
@click.option("--target", type=_target_choice, help="Another engine than before.")
@click.option(
    "--profile",
    "profile_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Another profile than before: more memory, another image, fewer pods at a time.",
)
@click.option("--watch", "then_watch", is_flag=True, help="Follow it to its end.")
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

    _log_to_stderr()
    profile: ClusterProfile | None = None
    if profile_path is not None:
        from pipelines.profile_reading import read_profile_file

        profile = read_profile_file(profile_path)
    result = resume_verb(run, store, profile=profile, target=target)
    _print_submitted(run, store, result, as_json)
    if then_watch:
        _watch(run, store, 10.0, False)


@click.command(short_help="Print how far a run is, and what its engine says of it.")
@_store_option
@_run_option
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
        print_json(_as_json(found))
    else:
        _print_status(found)
    if found.problem is not None:
        raise found.problem


@click.command(short_help="Follow a run on a cluster to its end.")
@_store_option
@_run_option
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.1),
    default=10.0,
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
    _watch(run, store, seconds, as_json)


@click.command(short_help="Print what the pods of a run printed, those that failed first.")
@_store_option
@_run_option
@click.option("--step", help="A part of the name of a step or a pod, such as select or g003.")
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
    help="How many pods.",
)
def logs(store: str, run: str, step: str | None, tail: int, pods: int) -> None:
    """Print the end of what pods of a run printed: of those that failed, else of those at work.

    Only pods that the cluster still has: what is kept of the others is in the store.

    \b
    Examples:
      evoptim logs --run second --store s3://bucket/optimizers
      evoptim logs --run second --step select --tail 500
    """  # noqa: D301 (click reads the backspace)
    from evoptim.verbs import logs as logs_verb

    shown = 0
    for found in logs_verb(run, store, step=step, tail=tail, most=pods):
        shown += 1
        what = f" ({found.step})" if found.step else ""
        why = f": {found.trouble}" if found.trouble else ""
        click.echo(f"==> {found.pod}{what}, {found.phase}{why}")
        if found.text:
            click.echo(found.text.rstrip("\n"))
    if not shown:
        which = f" whose name or step has {step!r} in it" if step else ""
        console.print(
            f"The cluster has no pod of the run{which}: they are removed some time after they "
            "end. evoptim status says how it ended.",
            soft_wrap=True,
            markup=False,
        )


@click.command(short_help="End a run on its cluster; what it has computed is kept.")
@_store_option
@_run_option
def cancel(store: str, run: str) -> None:
    """End a run on its cluster, and wait until nothing of it is at work.

    Its workflow is terminated and its Jobs are deleted. What is computed stays in the store.

    \b
    Examples:
      evoptim cancel --run second --store s3://bucket/optimizers
    """  # noqa: D301 (click reads the backspace)
    from evoptim.verbs import cancel as cancel_verb

    result = cancel_verb(run, store)
    state = result.state
    told = f" ({state.message})" if state.message else ""
    click.echo(f"The run {run} is {state.phase}{told}; nothing of it is at work.")
    for job in result.jobs:
        click.echo(f"deleted the Job {job}")
    for remark in result.remarks:
        console.print(f"note: {remark}", soft_wrap=True, markup=False)
    click.echo(f"To go on: {_command('resume', run, store)}")


def _watch(run: str, store: str, seconds: float, as_json: bool) -> None:
    from evoptim.cli.view import View
    from evoptim.verbs import watch as watch_verb

    view = View(run)

    def show(found: RunStatus) -> None:
        view.status(found.progress, _engine_in_short(found))

    try:
        with view:
            found = watch_verb(run, store, show, seconds=seconds)
    except KeyboardInterrupt:
        console.print(
            f"\nStopped watching; the run goes on. {view.kept()}", soft_wrap=True, markup=False
        )
        raise SystemExit(130) from None
    if as_json:
        print_json(_as_json(found))
    else:
        _print_status(found)
    if not found.finished:
        raise InfrastructureError(_ending(found))


def _ending(found: RunStatus) -> str:
    """Why a run has ended without a report, and what to do."""
    assert found.engine is not None
    phase = found.engine.phase
    again = _command("resume", found.run, found.store)
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
    see = "" if phase == "gone" else f"see {_command('logs', found.run, found.store)}, then "
    return f"the run {found.run} {words.get(phase, 'failed')}{where}{told}: {see}{again}"


def _print_submitted(run: str, store: str, result: Submitted, as_json: bool) -> None:
    where = result.submission
    if as_json:
        told = None if where is None else where.model_dump(mode="json", exclude={"config"})
        print_json({"outcome": result.outcome, "run": run, "page": result.page, "at": told})
        return
    if result.outcome == "finished":
        click.echo(f"The run {run} is finished already: {_command('results', run, store)}")
        return
    assert where is not None
    if result.plan is not None:
        from pipelines.preflight import plan_text

        console.print(plan_text(result.plan), soft_wrap=True, markup=False)
    verb = "Submitted the run" if result.outcome == "submitted" else "At work already: the run"
    click.echo(f"{verb} {run} as {where.name} ({where.target}, {where.profile.namespace})")
    if result.page:
        click.echo(f"See it:    {result.page}")
    click.echo(f"Follow it: {_command('watch', run, store)}")


def _print_status(found: RunStatus) -> None:
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
        rows.append(("next", _command("results", found.run, found.store)))
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


def _engine_in_short(found: RunStatus) -> str:
    if found.engine is None or found.engine.phase == "running":
        return "" if found.problem is None else "the engine does not answer"
    told = f": {found.engine.message[:60]}" if found.engine.message else ""
    return f"{found.engine.phase}{told}"


def _as_json(found: RunStatus) -> dict[str, Any]:
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


def _command(verb: str, run: str, store: str) -> str:
    return f"evoptim {verb} --run {run} --store {shlex.quote(store)}"


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
