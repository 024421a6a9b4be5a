"""How the candidates of a stage are dealt out to tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from evoptim.errors import InputError
from evoptim.records import Candidate


def chunk_numbers(candidates: int, candidates_per_task: int) -> list[int]:
    """The numbers of the chunks, from 0.

    Raises:
        InputError: ``candidates_per_task`` is below 1.
    """
    return list(range(math.ceil(candidates / _checked(candidates_per_task))))


def chunk_of(
    candidates: Sequence[Candidate], chunk: int, candidates_per_task: int
) -> Sequence[Candidate]:
    """The candidates of one chunk.

    Raises:
        InputError: there is no such chunk, or ``candidates_per_task`` is below 1.
    """
    numbers = chunk_numbers(len(candidates), candidates_per_task)
    if chunk not in numbers:
        raise InputError(
            f"{len(candidates)} candidates in chunks of {candidates_per_task} have the chunks 0 to "
            f"{len(numbers) - 1}, got {chunk}: give the same candidates_per_task as to propose"
        )
    return candidates[chunk * candidates_per_task : (chunk + 1) * candidates_per_task]


def _checked(candidates_per_task: int) -> int:
    if candidates_per_task < 1:
        raise InputError(f"candidates_per_task must be at least 1, got {candidates_per_task}")
    return candidates_per_task
