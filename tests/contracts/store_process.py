"""Run as a program: a process that writes to a store, for tests in which several do or one dies.

``race URL KEY TEXT...`` waits for a line on its input, then puts each text under ``KEY/PLACE`` and
prints for each whether it was written. ``pour URL SIZE`` puts objects of that many bytes one after
the other until it is killed, and prints a line when it starts.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sys
from collections.abc import Callable

from evoptim.store import open_store

NO_HARD_LINKS = "EVOPTIM_TEST_NO_HARD_LINKS"
"""In the environment of the program, it stands for a file system such as FAT."""


def refuse_to_link(source: object, target: object) -> None:
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


def race(url: str, key: str, *texts: str) -> None:
    store = open_store(url)
    print("ready", flush=True)
    sys.stdin.readline()
    for place, text in enumerate(texts):
        print(store.put(f"{key}/{place}", text.encode()), flush=True)


def content_of(key: str, size: int) -> bytes:
    return (hashlib.sha256(key.encode()).digest() * (size // 32 + 1))[:size]


def pour(url: str, size: str) -> None:
    store = open_store(url)
    print("pouring", flush=True)
    number = 0
    while True:
        key = f"pour/{number:08d}"
        store.put(key, content_of(key, int(size)))
        number += 1


if __name__ == "__main__":
    if NO_HARD_LINKS in os.environ:
        os.link = refuse_to_link  # type: ignore[assignment]
    programs: dict[str, Callable[..., None]] = {"race": race, "pour": pour}
    programs[sys.argv[1]](*sys.argv[2:])
