"""The threads that kernels run on, beside the one that calls."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch

_pool: ThreadPoolExecutor | None = None
_size = 0


def together(work: Callable[[], object], most: int) -> None:
    """Run ``work`` on ``torch.get_num_threads()`` threads at once, at most ``most``.

    ``work`` takes its share from what all of them do together, so that it does not matter how many
    of them really start.
    """
    helpers = min(torch.get_num_threads(), most) - 1
    futures: list[Future[object]] = []
    # RuntimeError: the interpreter is shutting down and starts no more threads.
    with contextlib.suppress(RuntimeError):
        futures.extend(_executor(helpers).submit(work) for _ in range(helpers))
    try:
        work()
    finally:
        for future in futures:
            # One that another call's work keeps waiting has nothing left to do.
            if not future.cancel():
                future.result()


def _executor(threads: int) -> ThreadPoolExecutor:
    global _pool, _size
    if _pool is None or _size < threads:
        _pool, _size = ThreadPoolExecutor(threads, "evoptim-kernel"), threads
    return _pool


def _forget() -> None:
    """A forked process has none of its parent's threads."""
    global _pool, _size
    _pool, _size = None, 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
