"""``evoptim search``."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evoptim.cli.options import build_config, config_options, json_option, store_option
from evoptim.cli.output import console, print_json, print_summary

if TYPE_CHECKING:
    from evoptim.verbs import Status
    from pipelines import Containers

_PLAIN_SECONDS = 15.0
_LONGEST_START = 35


@click.command(short_help="Evolve optimizers and train every one of them, here.")
@config_options
@store_option
@click.option("--run", help="Name of the run.  [default: <preset>-s<seed>]")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Trainings at a time.  [default: one a core; the results do not depend on it]",
)
@click.option(
    "--runner",
    type=click.Choice(["subprocess", "docker"]),
    default="subprocess",
    show_default=True,
    help="How steps run: as processes of this interpreter, or each in a container of its own.",
)
@click.option("--image", help="Container image of every step.  [default: evoptim:dev]")
@click.option(
    "--network",
    help="Docker network of the containers.  [default: none for a folder, Docker's own for s3://]",
)
@click.option("--gpus", is_flag=True, help="Give the containers this machine's NVIDIA GPUs.")
@json_option
def search(
    config_path: Path | None,
    preset_name: str | None,
    task: str | None,
    data: str | None,
    seed: int | None,
    settings: tuple[str, ...],
    store: str,
    run: str | None,
    workers: int | None,
    runner: str,
    image: str | None,
    network: str | None,
    gpus: bool,
    as_json: bool,
) -> None:
    """Evolve optimizers and train every one of them, here, through the real pipeline.

    Everything is written to the store as it is computed. Interrupt it and run the same command
    again: it goes on where it was. The same configuration gives the same result, bit for bit.

    The whole configuration of a run, every setting with its path, is in the store as
    runs/RUN/config.json, and --config takes that file too.

    \b
    Examples:
      evoptim search
      evoptim search --task cifar10 --data cifar10-images.zip --run cifar
      evoptim search --config run.yaml --run second --set search.replacement=elitist
      evoptim search --store s3://bucket/optimizers --seed 1
      evoptim search --runner docker --image evoptim:dev-cuda --gpus
    """  # noqa: D301 (click reads the backspace)
    config = build_config(config_path, preset_name, task, data, seed, settings)
    containers = _containers(runner, image=image, network=network, gpus=gpus)
    # Only now: torch takes seconds, and a slip in the configuration should show at once.
    from evoptim.verbs import search as search_verb

    name = run if run is not None else _default_name(config_path, preset_name, task, config.seed)
    view = _View(name)
    try:
        with view:
            result = search_verb(
                config,
                name,
                store,
                workers=workers,
                containers=containers,
                on_images=view.images,
                on_status=view.status,
            )
    except KeyboardInterrupt:
        console.print(
            f"\nStopped; all workers are down. {view.kept()} "
            "Run the same command again to continue.",
            soft_wrap=True,
        )
        raise SystemExit(130) from None
    if as_json:
        print_json(result.summary)
        return
    print_summary(result)


def _containers(runner: str, **options: Any) -> Containers | None:
    """What was asked of containers; None where steps are processes."""
    given = {name: value for name, value in options.items() if value}
    if runner == "docker":
        from pipelines import Containers

        return Containers(**given)
    if given:
        raise click.UsageError(f"--{next(iter(given))} needs --runner docker")
    return None


def _default_name(
    config_path: Path | None, preset_name: str | None, task: str | None, seed: int
) -> str:
    """``<preset or file>[-<task>]-s<seed>``, made of what a run's name may hold."""
    import re

    start = config_path.stem if config_path else (preset_name or "quickstart")
    # A file may have any name; a run's has 63 characters at most.
    parts = [start[:_LONGEST_START], *([task] if task else []), f"s{seed}"]
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")


class _View:
    """Progress on one line; where output is no terminal, a line now and then."""

    def __init__(self, run: str) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self.run = run
        self.plain = not console.is_terminal
        self.last: Status | None = None
        self.found = 0
        self.printed = self.began = time.monotonic()
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=self.plain,
            transient=True,
            # Trainings take from a second to an hour: the estimate looks back over all of them.
            speed_estimate_period=math.inf,
        )
        self.task = self.progress.add_task("starting", total=None, note="")

    def __enter__(self) -> _View:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def images(self, done: int, total: int) -> None:
        self.progress.update(self.task, description="reading images", completed=done, total=total)

    def status(self, status: Status) -> None:
        stage = status.stage or "starting"
        if status.done == status.planned:
            stage = "writing the report"
        best = "" if status.best is None else f"best {status.best:.1%}"
        failed = f"{status.failed} failed" if status.failed else ""
        note = ", ".join(part for part in (best, failed) if part)
        if self.last is None:
            # The estimate counts neither the reading of data nor what was there already.
            self.found, self.began = status.done, time.monotonic()
            self.progress.reset(self.task, total=status.planned, note=note)
        self.progress.update(
            self.task,
            description=stage,
            completed=status.done,
            total=status.planned,
            note=note,
        )
        self.last = status
        if self.plain and time.monotonic() - self.printed > _PLAIN_SECONDS:
            self.printed = time.monotonic()
            seconds = self.printed - self.began
            new, missing = status.done - self.found, status.planned - status.done
            left = seconds / new * missing if new else None
            estimate = "" if left is None else f", about {left:.0f} s left"
            line = f"{stage}: {status.done} of {status.planned} evaluations{estimate}"
            print(f"{line}, {note}" if note else line, file=sys.stderr, flush=True)

    def kept(self) -> str:
        if self.last is None:
            return "What is finished is kept."
        return f"{self.last.done} of {self.last.planned} evaluations are kept."
