"""The candidates of a long stage in parts, so that a task need not read 100,000 to train a few."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from evoptim.config import RunConfig
from evoptim.records import Candidates
from evoptim.steps.chunks import chunk_of
from evoptim.steps.reading import planned_in, read_candidates
from evoptim.store import MissingObjectError, Stage, Store, load, read_many, to_json
from evoptim.store.layout import CANDIDATES_IN_PART, candidates_key, candidates_part_key
from evoptim.store.pieces import cut_list


def part_count(candidates: int) -> int:
    """How many parts a stage of so many candidates has."""
    return 0 if candidates <= CANDIDATES_IN_PART else -(-candidates // CANDIDATES_IN_PART)


def parts_of(numbers: Sequence[int]) -> range:
    """The parts that hold the candidates with these consecutive numbers, at least one."""
    return range(numbers[0] // CANDIDATES_IN_PART, numbers[-1] // CANDIDATES_IN_PART + 1)


def write_candidates(store: Store, run: str, stage: Stage, proposed: Candidates) -> None:
    """Write what a stage evaluates, in parts too if it is long enough."""
    whole = to_json(proposed)
    # The parts come first: where there is the whole, everything is proposed.
    if part_count(len(proposed.candidates)):
        keyed = [
            (candidates_part_key(run, stage, number), part)
            for number, part in enumerate(cut_list(whole, "candidates", CANDIDATES_IN_PART))
        ]
        # Many at a time, as they are read.
        for _ in read_many(lambda each: store.put(*each), keyed):
            pass
    store.put(candidates_key(run, stage), whole)


def read_chunk(
    store: Store, run: str, config: RunConfig, stage: Stage, chunk: int, candidates_per_task: int
) -> Candidates:
    """What a stage evaluates, with the candidates of one chunk alone.

    Raises:
        InputError: the stage is not proposed yet, or has no such chunk.
    """
    planned = planned_in(config, stage)
    if part_count(planned):
        numbers = chunk_of(range(planned), chunk, candidates_per_task)
        parts = parts_of(numbers)
        try:
            read = [
                load(store, candidates_part_key(run, stage, part), Candidates) for part in parts
            ]
        except MissingObjectError:
            # Not proposed yet, by a version that wrote no parts, or somebody removed them.
            pass
        else:
            begin = numbers[0] - parts[0] * CANDIDATES_IN_PART
            found = tuple(chain.from_iterable(each.candidates for each in read))
            mine = found[begin : begin + len(numbers)]
            return read[0].model_copy(update={"candidates": mine})
    proposed = read_candidates(store, run, stage)
    mine = tuple(chunk_of(proposed.candidates, chunk, candidates_per_task))
    return proposed.model_copy(update={"candidates": mine})
