"""Work of one step in several processes: those of its container's cores."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Final, TypeVar

from evoptim.errors import InfrastructureError
from evoptim.orphan import end_with_parent

Item = TypeVar("Item")
Result = TypeVar("Result")

LEAST: Final = 1_000
"""Fewer items stay in this process: others start for longer than they would save."""
MOST: Final = 8
"""Processes at a time: one that draws optimizers holds torch, some 250 MB."""
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
    function: Callable[[Item], Result],
    items: Sequence[Item],
    what: str,
    *,
    least: int | None = None,
    at_a_time: int = 50,
) -> Iterator[Result]:
    """Call ``function`` with every item, on every core, and give the results in their order.

    From ``least`` items on it says every quarter of a minute, on standard error, how far it is.
    The function and the items must be such that they can be sent to another process.

    Args:
        function: A pure function.
        items: Its arguments.
        what: What the results are, for people.
        least: Fewer items stay in this process; None for :data:`LEAST`.
        at_a_time: Items that a process is sent at a time.

    Raises:
        InfrastructureError: a process died.
    """
    if len(items) < (LEAST if least is None else least):
        yield from map(function, items)
        return
    said = time.monotonic()
    for done, result in enumerate(_results(function, items, at_a_time), start=1):
        yield result
        if time.monotonic() - said > _PROGRESS_SECONDS:
            said = time.monotonic()
            print(f"{done:,} of {len(items):,} {what}", file=sys.stderr, flush=True)


def _results(
    function: Callable[[Item], Result], items: Sequence[Item], at_a_time: int
) -> Iterator[Result]:
    workers = min(cores(), MOST, math.ceil(len(items) / at_a_time))
    if workers == 1:
        yield from map(function, items)
        return
    # Started afresh: neither torch nor S3's clients survive a fork once there are threads.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _begin)
    try:
        yield from pool.map(function, items, chunksize=at_a_time)
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
    end_with_parent()
    # Torch reads them when it is imported, which may be never.
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)
