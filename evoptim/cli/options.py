"""Options that several verbs share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from evoptim.config import RunConfig

_LONGEST_START = 35

store_option = click.option(
    "--store",
    default="evoptim-store",
    show_default=True,
    envvar="EVOPTIM_STORE",
    show_envvar=True,
    help="Where runs are kept: a folder, or s3://bucket/prefix (credentials and endpoint from "
    "boto3's own settings, such as AWS_ENDPOINT_URL).",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


run_option = click.option("--run", required=True, help="Name of the run.")


@dataclass(frozen=True)
class ConfigChoice:
    """What the options of :func:`config_options` were given."""

    path: Path | None
    preset: str | None
    task: str | None
    data: str | None
    seed: int | None
    settings: tuple[str, ...]

    def read(self) -> RunConfig:
        """The configuration that they describe.

        Raises:
            InputError: it cannot be read, or is none.
        """
        from evoptim.config.reading import parse_setting, read_config
        from evoptim.config.yaml_text import read_text

        changes: dict[str, Any] = {}
        if self.task is not None:
            changes["protocol.task.name"] = self.task
        if self.data is not None:
            # Steps run in other folders, so a path is fixed now.
            changes["protocol.task.data"] = str(Path(self.data).expanduser().absolute())
        if self.seed is not None:
            changes["seed"] = self.seed
        changes.update(parse_setting(text) for text in self.settings)
        text = None if self.path is None else read_text(self.path, "the configuration")
        return read_config(text, self.preset, changes)

    def run_name(self, config: RunConfig) -> str:
        """The name of a run that was given none."""
        return default_run_name(self.path, self.preset, self.task, config.seed)


def config_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that make a configuration, as one argument: ``choice``, a ConfigChoice."""

    @functools.wraps(command)
    def packed(
        config_path: Path | None,
        preset_name: str | None,
        task: str | None,
        data: str | None,
        seed: int | None,
        settings: tuple[str, ...],
        **others: Any,
    ) -> None:
        choice = ConfigChoice(config_path, preset_name, task, data, seed, settings)
        command(choice=choice, **others)

    for option in reversed(_CONFIG_OPTIONS):
        packed = option(packed)
    return packed


_CONFIG_OPTIONS = (
    click.option(
        "--config",
        "config_path",
        type=click.Path(dir_okay=False, path_type=Path),
        help="YAML file; what it does not set comes from the preset.",
    ),
    click.option(
        "--preset",
        "preset_name",
        help="Where to start from: quickstart (the default), paper, paper-init or paper-evolution.",
    ),
    click.option("--task", help="What is trained on: digits, cifar10 or imagefolder."),
    click.option(
        "--data",
        help="Folder or zip of images, train|test/<class>/* or <class>/*; for cifar10 "
        "also the folder of torchvision's copy.",
    ),
    click.option("--seed", type=int, help="Seed of every random choice of the search."),
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="KEY=VALUE",
        help="One setting by its path, such as search.generations=10; may be repeated.",
    ),
)


def default_run_name(
    config_path: Path | None, preset_name: str | None, task: str | None, seed: int
) -> str:
    """``<preset or file>[-<task>]-s<seed>``, made of what a run's name may hold."""
    import re

    start = config_path.stem if config_path else (preset_name or "quickstart")
    # A file may have any name; a run's has 63 characters at most.
    parts = [start[:_LONGEST_START], *([task] if task else []), f"s{seed}"]
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")
