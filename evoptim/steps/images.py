"""Decoded images in the store, so that of all the machines of a run one decodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from evoptim.config import TaskSpec
from evoptim.store import MissingObjectError, Store
from evoptim.store.layout import images_key

if TYPE_CHECKING:
    # Every step imports this module, and few of them look at images.
    from evoptim.tasks import Split


class _StoredImages:
    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, fingerprint: str) -> bytes | None:
        try:
            return self._store.get(images_key(fingerprint))
        except MissingObjectError:
            return None

    def put(self, fingerprint: str, data: bytes) -> None:
        self._store.put(images_key(fingerprint), data)


def load_shared(
    store: Store | None, task: TaskSpec, progress: Callable[[int, int], None] | None = None
) -> Split:
    """The images of a task, decoded on this machine, on another one, or now for all of them.

    A store in a folder is left out: those who read it are mostly on one machine, whose cache they
    share.

    Args:
        store: Where the run lies; None shares nothing.
        task: Its images; only those whose fingerprint is known can be fetched.
        progress: Called with (images read, images to read) where they are decoded here.

    Raises:
        InputError: as :func:`evoptim.tasks.load_task`.
        InfrastructureError: the store failed.
    """
    from evoptim.tasks import load_task

    shared = _StoredImages(store) if store and store.url.startswith("s3://") else None
    return load_task(task, progress, shared)
