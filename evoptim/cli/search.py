"""``evoptim search``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from evoptim.cli.options import ConfigChoice, config_options, json_option, store_option
from evoptim.cli.output import console, print_json, print_summary
from evoptim.cli.view import View

if TYPE_CHECKING:
    from pipelines import Containers


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
    choice: ConfigChoice,
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
    config = choice.read()
    containers = _containers(runner, image=image, network=network, gpus=gpus)
    # Only now: torch takes seconds, and a slip in the configuration should show at once.
    from evoptim.verbs import search as search_verb

    name = run if run is not None else choice.run_name(config)
    view = View(name)
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
