"""Many objects at a time, in order, never more at once than a fixed number."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

K = TypeVar("K")
T = TypeVar("T")

THREADS: Final = 16
"""Objects that are asked for at once."""
_BATCH: Final = 32
"""Objects that one thread reads in a row, where there are many: fewer hand-overs."""
_AHEAD: Final = 2 * THREADS
"""Batches that may wait to be taken."""


def read_many(read: Callable[[K], T], keys: Sequence[K]) -> Iterator[T]:
    """``read(key)`` for every key, in their order, in many threads.

    What was read and not taken yet is bounded, however slowly it is taken: a thousand objects.

    Args:
        read: Called in threads; its first error, in the order of keys, ends the iteration.
        keys: What to read.
    """
    size = min(_BATCH, max(1, len(keys) // _AHEAD))
    waiting: deque[Future[list[T]]] = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            for begin in range(0, len(keys), size):
                batch = keys[begin : begin + size]
                waiting.append(pool.submit(_read, read, batch))
                if len(waiting) >= _AHEAD:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            # Whoever stops taking, or is interrupted, waits for no batch that is not begun.
            pool.shutdown(wait=False, cancel_futures=True)


def _read(read: Callable[[K], T], keys: Sequence[K]) -> list[T]:
    return [read(key) for key in keys]
