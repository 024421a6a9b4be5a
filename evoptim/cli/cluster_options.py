"""Options that the verbs of a cluster share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from pipelines.profile import ClusterProfile

F = TypeVar("F", bound=Callable[..., Any])

store_option = click.option(
    "--store",
    required=True,
    envvar="EVOPTIM_STORE",
    show_envvar=True,
    help="Where runs are kept: s3://bucket/prefix (credentials and endpoint from boto3's own "
    "settings, such as AWS_ENDPOINT_URL).",
)
image_option = click.option("--image", help="Container image of every step; changes the profile's.")
patience_option = click.option(
    "--patience",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="End the search when so many generations have found nothing better; 0: never. Argo only.",
)
then_watch_option = click.option(
    "--watch", "then_watch", is_flag=True, help="Follow it to its end."
)


def target_option(help: str, **more: Any) -> Callable[[F], F]:
    """``--target``: the engine."""
    return click.option("--target", type=click.Choice(["kfp", "argo"]), help=help, **more)


def profile_option(help: str, required: bool = False) -> Callable[[F], F]:
    """``--profile``: a file, as ``profile_path``."""
    return click.option(
        "--profile",
        "profile_path",
        required=required,
        type=click.Path(dir_okay=False, path_type=Path),
        help=help,
    )


def read_profile(path: Path | None, image: str | None = None) -> ClusterProfile:
    """The profile in a file, or the default one, with another image if one is given.

    Raises:
        InputError: it cannot be read, or is none.
    """
    from pipelines.profile_reading import read_profile, read_profile_file

    changes = {} if image is None else {"image": image}
    return read_profile(settings=changes) if path is None else read_profile_file(path, changes)
