"""Whether the pods will find what the user names: the store and the images."""

from __future__ import annotations

import logging
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from evoptim.config import RunConfig
from evoptim.errors import InputError
from evoptim.store import Store
from evoptim.store.local import LocalStore

if TYPE_CHECKING:
    from pipelines.profile import ClusterProfile

_LOGGER = logging.getLogger(__name__)


def check_seen_by_pods(store: Store, profile: ClusterProfile) -> None:
    """Whether pods see the store.

    Raises:
        InputError: it is a folder that no claim of the profile holds.
    """
    if not isinstance(store, LocalStore):
        return
    folder = PurePosixPath(store.url)
    claims = [PurePosixPath(each.path) for each in profile.mounts if each.kind == "claim"]
    if not any(folder == each or each in folder.parents for each in claims):
        raise InputError(
            f"the pods must see the store too, and {store.url} is a folder of this machine: give "
            "--store s3://bucket/prefix, or a folder on a claim that the profile mounts"
        )


def check_data(config: RunConfig, profile: ClusterProfile) -> None:
    """Whether pods see the images; warns where only the image itself could hold them.

    Raises:
        InputError: they are not named by an absolute path.
    """
    protocols = (config.protocol, config.initial_protocol)
    for data in {each.task.data for each in protocols if each is not None}:
        if data is None:
            continue
        path = PurePosixPath(data)
        if not path.is_absolute():
            raise InputError(
                f"the images must be named by their path in the pods, got {data!r}: give an "
                "absolute path, and mount it with the profile's mounts"
            )
        mounts = [PurePosixPath(each.path) for each in profile.mounts]
        if not any(path == each or each in path.parents for each in mounts):
            _LOGGER.warning(
                "no mount of the profile holds the images %s: the image itself must have them",
                data,
            )
