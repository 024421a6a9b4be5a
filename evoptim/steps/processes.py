"""Work of one step in several processes: those of its container's cores."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Final, TypeVar

from evoptim.errors import InfrastructureError

Item = TypeVar("Item")
Result = TypeVar("Result")

LEAST: Final = 1_000
"""Fewer items stay in this process: others start for longer than they would save."""
_MOST: Final = 8
# Each holds torch, some 250 MB.
_AT_A_TIME: Final = 50
_PROGRESS_SECONDS: Final = 15.0
_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")


def cores() -> int:
    """The cores that this process may use: by its affinity, and by the limit of its container."""
    allowed = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    try:
        quota, period = _QUOTA.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return allowed
    return min(allowed, max(1, int(quota) // int(period))) if quota.isdecimal() else allowed


def in_order(
    function: Callable[[Item], Result], items: Sequence[Item], what: str
) -> Iterator[Result]:
    """Call ``function`` with every item, on every core, and give the results in their order.

    From :data:`LEAST` items on it says every quarter of a minute, on standard error, how far it
    is. The function and the items must be such that they can be sent to another process.

    Args:
        function: A pure function.
        items: Its arguments.
        what: What the results are, for people.

    Raises:
        InfrastructureError: a process died.
    """
    if len(items) < LEAST:
        yield from map(function, items)
        return
    said = time.monotonic()
    for done, result in enumerate(_results(function, items), start=1):
        yield result
        if time.monotonic() - said > _PROGRESS_SECONDS:
            said = time.monotonic()
            print(f"{done:,} of {len(items):,} {what}", file=sys.stderr, flush=True)


def _results(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    workers = min(cores(), _MOST, math.ceil(len(items) / _AT_A_TIME))
    if workers == 1:
        yield from map(function, items)
        return
    # Started afresh: torch does not survive a fork once it has threads.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _begin)
    try:
        yield from pool.map(function, items, chunksize=_AT_A_TIME)
    except BrokenProcessPool as error:
        raise InfrastructureError(
            "a process of this step died, perhaps for lack of memory: run the same command again, "
            "with more memory if it repeats"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """Set up a process: one thread, and no longer life than its parent."""
    # Ctrl-C reaches all processes of a terminal; the parent alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from evoptim.training.pool import die_with_parent

    threading.Thread(target=die_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(1)
