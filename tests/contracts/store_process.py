"""Run as a program: a process that writes to a store, for tests in which several do or one dies.

``race URL KEY WRITERS KEYS`` lets that many processes put a text each under ``KEY/PLACE``, all at
once for each place, and prints as JSON who says that it wrote there. ``pour URL SIZE`` puts objects
of that many bytes one after the other until it is killed, and prints a line when it starts.
"""

from __future__ import annotations

import errno
import hashlib
import json
import multiprocessing
import os
import sys
from collections.abc import Callable
from functools import cache

import botocore.session

from evoptim.store import open_store

NO_HARD_LINKS = "EVOPTIM_TEST_NO_HARD_LINKS"
"""In the environment of the program, it stands for a file system such as FAT."""


def refuse_to_link(source: object, target: object) -> None:
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


def text_of(writer: int, place: int) -> bytes:
    return f"{writer}:{place} ".encode() * (100 + writer)


def race(url: str, key: str, writers: str, keys: str) -> None:
    # What all need of boto3, lest sixteen load the same.
    botocore.session.create_loader = cache(botocore.session.create_loader)
    open_store(url)
    context = multiprocessing.get_context("fork")
    start, said = context.Barrier(int(writers)), context.Queue()

    def write(writer: int) -> None:
        try:
            store = open_store(url)
            store.exists(key)
            for place in range(int(keys)):
                start.wait()
                if store.put(f"{key}/{place}", text_of(writer, place)):
                    said.put((place, writer))
        except BaseException:
            # Let the others not wait for one that is no more.
            start.abort()
            raise
        finally:
            said.put(None)

    running = [context.Process(target=write, args=(writer,)) for writer in range(int(writers))]
    for process in running:
        process.start()
    wrote: list[list[int]] = [[] for _ in range(int(keys))]
    for _ in running:
        while (found := said.get()) is not None:
            wrote[found[0]].append(found[1])
    for process in running:
        process.join()
    if any(process.exitcode for process in running):
        sys.exit("a writer failed")
    print(json.dumps(wrote))


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
