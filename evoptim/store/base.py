"""What a store is: write-once objects under keys that anyone can predict."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Protocol

from evoptim.errors import EvoptimError, InputError

MAX_KEY_LENGTH: Final = 500
MAX_SEGMENT_LENGTH: Final = 200

PROBE_KEY: Final = ".evoptim/probe"
TRIAL_PREFIX: Final = ".evoptim/"
"""What the keys of objects start with that belong to no run."""
PROBE_DATA: Final = b"evoptim writes this object once, to prove that it can.\n"

_SEGMENT: Final = re.compile(rf"(?!\.{{1,2}}\Z)[A-Za-z0-9._-]{{1,{MAX_SEGMENT_LENGTH}}}\Z")


class MissingObjectError(EvoptimError, KeyError):
    """The store holds no object under this key."""

    def __init__(self, key: str, url: str) -> None:
        # As they came, so that the error crosses process borders.
        super().__init__(key, url)

    def __str__(self) -> str:
        key, url = self.args
        return f"the store {url} holds no object {key}"


class Store(Protocol):
    """A flat map from keys to bytes in which nothing is ever changed or removed.

    A key is a relative path such as ``runs/first/config.json``: see :func:`check_key`. Every verb
    may be called from many threads and processes at once. Beside what each verb names, all raise
    :class:`~evoptim.errors.InputError` for a malformed key or a store that refuses the user, and
    :class:`~evoptim.errors.InfrastructureError` for one that fails.
    """

    @property
    def url(self) -> str:
        """The address from which :func:`evoptim.store.open_store` opens this store again."""
        ...

    @property
    def place(self) -> str:
        """Where it lies, in words for the user: the folder, or the bucket and its server."""
        ...

    def put(self, key: str, data: bytes) -> bool:
        """Write an object that is not there yet; all of it becomes visible at once, or nothing.

        Returns:
            True if this call wrote it; False if the key was there already, whose content then
            stays untouched. Over a network False may also mean that this very call wrote it and
            the answer was lost, so False says "it is there", not "somebody else wrote it".
        """
        ...

    def get(self, key: str) -> bytes:
        """The whole content of an object; raises :class:`MissingObjectError` without one."""
        ...

    def exists(self, key: str) -> bool:
        """Whether an object is there; one that is will stay."""
        ...

    def list(self, prefix: str = "") -> Iterator[str]:
        """All keys that start with this text, at any depth, in the order of their characters."""
        ...

    def probe(self) -> bool:
        """Really write :data:`PROBE_KEY`, even where it is there already.

        Returns:
            Whether the store itself refuses the second of two writes to a key. False: objects
            are whole all the same, but of writers that race for a key, the last one wins.
        """
        ...


def is_key(text: str) -> bool:
    """Whether this text keeps the rules of :func:`check_key`."""
    return len(text) <= MAX_KEY_LENGTH and all(map(_SEGMENT.match, text.split("/")))


def check_key(key: str) -> str:
    """The key itself, if it can name an object in every kind of store.

    Args:
        key: segments of letters, digits, ``.``, ``_`` and ``-``, joined by ``/``; a segment is
            neither ``.`` nor ``..``.

    Raises:
        InputError: the key breaks this rule or a bound on length.
    """
    if is_key(key):
        return key
    raise InputError(
        f"a store key must be segments of letters, digits, '.', '_' and '-' joined by '/', without "
        f"'.' or '..' alone, at most {MAX_KEY_LENGTH} characters long, got {_shown(key)}; "
        f"rename the object"
    )


def check_prefix(prefix: str) -> str:
    """The prefix itself, if some key can start with it; raises InputError otherwise."""
    if is_key(f"{prefix}x"):
        return prefix
    raise InputError(
        f"a prefix must be the beginning of a store key, got {_shown(prefix)}; "
        f"give something like 'runs/first/'"
    )


def _shown(text: str) -> str:
    return repr(text) if len(text) <= 80 else f"{text[:80]!r}… ({len(text)} characters)"
