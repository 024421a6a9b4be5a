"""Whether the store does what a search needs of it, seen from this machine."""

import time
import uuid
from collections.abc import Iterator

from evoptim.errors import EvoptimError
from evoptim.store import Store, open_store
from evoptim.store.base import TRIAL_PREFIX
from evoptim.store.s3 import S3Store
from pipelines.doctor.access import clock_finding
from pipelines.doctor.finding import Finding

_DATA = b"evoptim doctor wrote this object, and removes it at once.\n"


def check_store(url: str) -> Iterator[Finding]:
    """Write, read, list, conditional writes, delete, clock; nothing stays but the store's probe."""
    store = open_store(url)
    key = f"{TRIAL_PREFIX}doctor-{uuid.uuid4().hex}"
    next(iter(store.list(key)), None)
    yield Finding("store", "ok", f"{store.url} answers and can be listed")
    if isinstance(store, S3Store):
        before = time.time()
        told = store.clock()
        if told is not None:
            yield clock_finding("the store", told, (before + time.time()) / 2)
    store.put(key, _DATA)
    try:
        yield _written(store, key)
        yield _conditional(store)
    finally:
        removal = _removed(store, key)
    yield removal


def _written(store: Store, key: str) -> Finding:
    if store.get(key) != _DATA:
        told = "it does not give back what was written"
        return Finding("store", "failed", told, "use another server")
    if key not in store.list(key):
        told = "what was written is not listed"
        return Finding("store", "failed", told, "use a server whose listings are consistent")
    return Finding("store", "ok", "objects can be written, read and listed")


def _conditional(store: Store) -> Finding:
    if store.probe():
        return Finding("store", "ok", "conditional writes are honoured: nothing is overwritten")
    return Finding(
        "store",
        "warning",
        "conditional writes (If-None-Match) are ignored: of two writers the last one wins",
        "objects stay whole, but let only one search at a time write a run, or use another server",
    )


def _removed(store: Store, key: str) -> Finding:
    if not isinstance(store, S3Store):
        return Finding("store", "ok", "it is a folder: removing is for its file system to allow")
    try:
        store.remove_trial(key)
    except EvoptimError as error:
        return Finding(
            "store",
            "warning",
            f"objects cannot be deleted ({error})",
            f"a search deletes nothing, but old runs stay, and so does {key}: grant "
            "s3:DeleteObject to whoever cleans up",
        )
    return Finding("store", "ok", "objects can be deleted, to clean up old runs")
