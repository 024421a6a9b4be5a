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

_HEAD: Final = 8
"""One in so many candidates of a chunk comes from the head of the stage."""

_RANGE: Final = re.compile(r"(?P<low>[0-9]{1,6})(?:-(?P<high>[0-9]{1,6}))?")


def chunk_numbers(candidates: int, candidates_per_task: int) -> list[int]:
    """The numbers of the chunks, from 0.

    Raises:
        InputError: ``candidates_per_task`` is below 1.
    """
    return list(range(math.ceil(candidates / _checked(candidates_per_task))))


def runs_of(candidates: int, chunk: int, candidates_per_task: int) -> tuple[range, range]:
    """The numbers of one chunk's candidates: some from the head of the stage, more from its tail.

    So all tasks can begin when the first eighth of the candidates is drawn.

    Raises:
        InputError: there is no such chunk, or ``candidates_per_task`` is below 1.
    """
    chunks = len(chunk_numbers(candidates, candidates_per_task))
    if not 0 <= chunk < chunks:
        raise InputError(
            f"{candidates} candidates in chunks of {candidates_per_task} have the chunks 0 to "
            f"{chunks - 1}, got {chunk}: give the same candidates_per_task as to propose"
        )
    first = candidates_per_task // _HEAD
    head = range(candidates)[chunk * first : (chunk + 1) * first]
    rest = candidates_per_task - first
    tail = range(candidates)[chunks * first :][chunk * rest : (chunk + 1) * rest]
    return head, tail


def chunk_of(candidates: Sequence[Item], chunk: int, candidates_per_task: int) -> list[Item]:
    """The candidates of one chunk, or their numbers; raises as :func:`runs_of`."""
    runs = runs_of(len(candidates), chunk, candidates_per_task)
    return [candidates[number] for run in runs for number in run]


def chunk_with(number: int, candidates: int, candidates_per_task: int) -> int:
    """The chunk that holds the candidate with this number, one of so many."""
    first = candidates_per_task // _HEAD
    heads = first * len(chunk_numbers(candidates, candidates_per_task))
    if number < heads:
        return number // first
    return (number - heads) // (candidates_per_task - first)


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
