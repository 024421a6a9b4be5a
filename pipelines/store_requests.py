"""How often a search asks its store, counted from its plan; on S3 each is one request.

It is what the steps really do on a store that nothing is reused from, without retries: a test
counts a whole search and compares. Whom a screen will refuse is not known before: each refusal
takes two requests less, since it is not written for all runs. Images other than the digits take
two more when they are decoded, and one on each machine that fetches them.
"""

import math
from collections.abc import Sequence

from evoptim.steps.chunks import chunk_numbers, chunk_of
from evoptim.steps.parts import part_count, parts_of

# To write an object once takes two requests: a store asks first.
_WRITE = 2
# Keys that S3 lists at a time.
_LISTED = 1_000


Stages = Sequence[tuple[int | None, int]]
"""The generation, or None for the finals, and the candidates of every stage."""


def store_requests(stages: Stages, candidates_per_task: int, watched: bool) -> int:
    """Requests of a whole search.

    Args:
        stages: The generation, or None for the finals, and the candidates of every stage.
        candidates_per_task: Size of a chunk.
        watched: Whether an Indexed Job evaluates each stage. A step that watches it asks, before
            and after, what is missing; for a generation it also asks whether candidates are there
            and, twice, for the configuration, and each task whether it has to wait for them. How
            often a task that waits asks again, and how often evaluations are listed while others
            are made, nobody knows before.
    """
    initialise = _WRITE
    return (
        initialise
        + sum(
            _propose(generation, candidates, stages)
            + _evaluate(candidates, candidates_per_task)
            + (_watch(generation, candidates, candidates_per_task) if watched else 0)
            + (0 if generation is None else _select(generation, candidates))
            for generation, candidates in stages
        )
        + _report(stages)
    )


def requests_per_candidate() -> int:
    """What a task asks for each candidate that nobody has evaluated yet."""
    # Does another run have it; written for all runs, then for this one.
    return 1 + 2 * _WRITE


def _propose(generation: int | None, candidates: int, stages: Stages) -> int:
    # Is it there already, the configuration; written, in parts where it is long.
    own = 2 + _WRITE * (1 + part_count(candidates))
    if generation is None:
        # Every population is asked for; then everything is read.
        search = [each for each in stages if each[0] is not None]
        return own + len(search) + _read(search)
    # Later ones read the population, and the candidates of all before.
    return own + (1 + generation if generation else 0)


def _read(stages: Stages) -> int:
    """The listing, and every stage's candidates and evaluations."""
    evaluated = sum(candidates for _, candidates in stages)
    keys = evaluated + sum(3 + part_count(candidates) for _, candidates in stages)
    return _listings(keys) + len(stages) + evaluated


def _evaluate(candidates: int, size: int) -> int:
    chunks = [chunk_of(range(candidates), each, size) for each in chunk_numbers(candidates, size)]
    # The configuration, the candidates or those of their parts that hold the chunk, and what is
    # there of it: a listing, of one page as a rule.
    long = part_count(candidates) > 0
    inputs = sum(2 + (len(parts_of(chunk)) if long else 1) for chunk in chunks)
    return inputs + requests_per_candidate() * candidates


def _watch(generation: int | None, candidates: int, size: int) -> int:
    twice = 2 * (1 + _listings(candidates))
    return twice if generation is None else twice + 3 + math.ceil(candidates / size)


def _select(generation: int, candidates: int) -> int:
    # Is it there, configuration, candidates, listing, evaluations, the population of before,
    # written; then read for its metrics.
    before = 1 if generation else 0
    return 3 + _listings(candidates) + candidates + before + _WRITE + 1


def _report(stages: Stages) -> int:
    generations = len(stages) - 1
    finals = sum(candidates for generation, candidates in stages if generation is None)
    # Its files: is it there; five written; read by the step that shows them, four of them again.
    files = 1 + 5 * _WRITE + 1 + 3
    # The configuration; everything; the finals again, whose learning curves are drawn; every
    # population, read, and asked for where it ends.
    return files + 1 + _read(stages) + finals + 2 * generations + 1


def _listings(keys: int) -> int:
    return max(1, math.ceil(keys / _LISTED))
