"""How the candidates of a stage are dealt out to tasks."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final, TypeVar

from evoptim.errors import InputError

Item = TypeVar("Item")

INDEX_VARIABLE: Final = "JOB_COMPLETION_INDEX"
"""Environment variable in which an Indexed Job numbers its pods, from 0."""
CHUNKS_VARIABLE: Final = "EVOPTIM_CHUNKS"
"""Environment variable with the chunks of a Job's pods where these are not simply all of them."""

_RANGE: Final = re.compile(r"(?P<low>[0-9]{1,6})(?:-(?P<high>[0-9]{1,6}))?")


def chunk_numbers(candidates: int, candidates_per_task: int) -> list[int]:
    """The numbers of the chunks, from 0.

    Raises:
        InputError: ``candidates_per_task`` is below 1.
    """
    return list(range(math.ceil(candidates / _checked(candidates_per_task))))


def chunk_of(candidates: Sequence[Item], chunk: int, candidates_per_task: int) -> Sequence[Item]:
    """The candidates of one chunk, or their numbers.

    Raises:
        InputError: there is no such chunk, or ``candidates_per_task`` is below 1.
    """
    numbers = chunk_numbers(len(candidates), candidates_per_task)
    if not 0 <= chunk < len(numbers):
        raise InputError(
            f"{len(candidates)} candidates in chunks of {candidates_per_task} have the chunks 0 to "
            f"{len(numbers) - 1}, got {chunk}: give the same candidates_per_task as to propose"
        )
    return candidates[chunk * candidates_per_task : (chunk + 1) * candidates_per_task]


def _checked(candidates_per_task: int) -> int:
    if candidates_per_task < 1:
        raise InputError(f"candidates_per_task must be at least 1, got {candidates_per_task}")
    return candidates_per_task


def ranges_text(numbers: Sequence[int]) -> str:
    """Ascending numbers in few characters: ``0-4,7,9-12``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)


def chunk_at(index: int, chunks: str | None) -> int:
    """The chunk that the task with this index trains.

    Args:
        index: Number of the task, from 0.
        chunks: The chunks of all tasks, as :func:`ranges_text` writes them; None where each task
            trains the chunk of its own number.

    Raises:
        InputError: there is no such task, or ``chunks`` is no list of chunks.
    """
    if chunks is None:
        return index
    before = 0
    for part in chunks.split(","):
        found = _RANGE.fullmatch(part)
        if found is None or int(found["low"]) > int(found["high"] or found["low"]):
            raise InputError(f"chunks are written like 0-4,7, got {part[:40]!r}")
        low, high = int(found["low"]), int(found["high"] or found["low"])
        if index - before <= high - low:
            return low + index - before
        before += high - low + 1
    raise InputError(f"there are {before} tasks, numbered from 0, got {index}")
