"""From a URL to a store, and the proof that it can be used."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Final

from evoptim.errors import InfrastructureError, InputError
from evoptim.store.base import PROBE_DATA, PROBE_KEY, Store
from evoptim.store.local import LocalStore

# One letter before the colon would be a drive, not a scheme.
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")

_LOGGER = logging.getLogger(__name__)


def open_store(url: str) -> Store:
    """Open the store at this URL; nothing is contacted or written yet.

    Args:
        url: ``s3://bucket`` or ``s3://bucket/prefix``, else the path of a folder, where ``~`` is
            the home of the user. Endpoint, region, credentials and the like of S3 come from
            where boto3 looks for them (``AWS_ENDPOINT_URL_S3``, profiles, instance roles, …).

    Raises:
        InputError: the URL names no store, or boto3 is missing or misconfigured.
    """
    if url.startswith("s3://"):
        return _open_s3(url)
    if not url.strip() or "\0" in url or _SCHEME.match(url):
        raise InputError(
            f"a store must be s3://bucket/prefix or the path of a folder, got {url!r}; "
            f"give a path such as ./evoptim-store"
        )
    try:
        return LocalStore(Path(url).expanduser())
    except RuntimeError as error:
        raise InputError(
            f"the store {url!r} must lie in the home of a user that exists: {error}; give its path"
        ) from error


def check_writable(store: Store) -> bool:
    """Prove, before anything runs, that this store can be written, read and listed.

    The proof is one small object, ``.evoptim/probe``, that stays. Of a store that keeps objects
    whole but not write-once when writers race, a warning in the log tells the user.

    Returns:
        What :meth:`evoptim.store.Store.probe` found: False for such a store.

    Raises:
        InputError: the store cannot be used; one line names it, the reason and the remedy.
    """
    try:
        exclusive = store.probe()
        sound = store.get(PROBE_KEY) == PROBE_DATA and PROBE_KEY in store.list(PROBE_KEY)
    except InfrastructureError as error:
        # Nothing has run yet: a store that does not answer is as good as a wrong address.
        raise InputError(str(error)) from error
    if not sound:
        raise InputError(
            f"a store must give back what was written, but {store.url} does not hold "
            f"{PROBE_KEY} as written; remove that object or choose another store"
        )
    if not exclusive:
        _LOGGER.warning(
            "%s ignores conditional writes (If-None-Match), which lets two writers overwrite each "
            "other: every object stays whole, but let only one search at a time write a run",
            store.place,
        )
    return exclusive


def _open_s3(url: str) -> Store:
    try:
        from evoptim.store.s3 import S3Store
    except ModuleNotFoundError as error:
        if error.name not in {"boto3", "botocore"}:
            raise
        raise InputError(
            f"a store on S3 needs the package boto3, which is not installed, got {url!r}; "
            f"run 'pip install boto3' or choose a folder"
        ) from error
    return S3Store.from_url(url)
