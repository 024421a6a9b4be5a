"""The candidates of a long stage in parts: a task need not read 100,000 to train a few, and can
begin before the last one is drawn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from evoptim.config import RunConfig
from evoptim.records import Candidate, Candidates
from evoptim.steps.chunks import chunk_of
from evoptim.steps.reading import planned_in, read_candidates
from evoptim.store import MissingObjectError, Stage, Store, load, save, to_json
from evoptim.store.layout import CANDIDATES_IN_PART, candidates_key, candidates_part_key
from evoptim.store.many import THREADS
from evoptim.store.pieces import join_lists


def part_count(candidates: int) -> int:
    """How many parts a stage of so many candidates has."""
    return 0 if candidates <= CANDIDATES_IN_PART else -(-candidates // CANDIDATES_IN_PART)


def parts_of(numbers: Iterable[int]) -> list[int]:
    """The parts that hold the candidates with these numbers."""
    return sorted({number // CANDIDATES_IN_PART for number in numbers})


def write_candidates(
    store: Store,
    run: str,
    config: RunConfig,
    stage: Stage,
    about: Candidates,
    candidates: Iterable[Candidate],
) -> int:
    """Write what a stage evaluates, if it is long part by part as they come, and then as a whole.

    Args:
        store: The store.
        run: Name of the run.
        config: Its configuration.
        stage: Whose candidates they are.
        about: What is said of all of them, without them.
        candidates: At least one.

    Returns:
        How many they are.
    """
    drawn, key = iter(candidates), candidates_key(run, stage)
    if not part_count(planned_in(config, stage)):
        whole = about.model_copy(update={"candidates": tuple(drawn)})
        save(store, key, whole)
        return len(whole.candidates)
    count = 0
    parts: list[bytes] = []
    under_way: deque[Future[bool]] = deque()
    # The next ones are drawn while some are on their way.
    with ThreadPoolExecutor(THREADS) as writers:
        while part := tuple(islice(drawn, CANDIDATES_IN_PART)):
            part_key = candidates_part_key(run, stage, len(parts))
            parts.append(to_json(about.model_copy(update={"candidates": part})))
            under_way.append(writers.submit(store.put, part_key, parts[-1]))
            count += len(part)
            if len(under_way) > THREADS:
                under_way.popleft().result()
        for each in under_way:
            each.result()
    # The parts come first: where there is the whole, everything is proposed.
    store.put(key, join_lists(parts, "candidates"))
    return count


def read_chunk(
    store: Store, run: str, config: RunConfig, stage: Stage, chunk: int, candidates_per_task: int
) -> Candidates:
    """What a stage evaluates, with the candidates of one chunk alone.

    Raises:
        InputError: the stage is not proposed yet, or has no such chunk.
    """
    planned = planned_in(config, stage)
    if part_count(planned):
        try:
            return read_numbers(
                store, run, stage, chunk_of(range(planned), chunk, candidates_per_task)
            )
        except MissingObjectError:
            # Proposed by a version that wrote no parts, or not at all; or somebody removed them.
            pass
    proposed = read_candidates(store, run, stage)
    mine = tuple(chunk_of(proposed.candidates, chunk, candidates_per_task))
    return proposed.model_copy(update={"candidates": mine})


def read_numbers(store: Store, run: str, stage: Stage, numbers: Sequence[int]) -> Candidates:
    """What a long stage evaluates, with the candidates of these numbers alone, at least one.

    Raises:
        MissingObjectError: they are not proposed yet.
    """
    parts = {
        part: load(store, candidates_part_key(run, stage, part), Candidates)
        for part in parts_of(numbers)
    }
    places = [divmod(number, CANDIDATES_IN_PART) for number in numbers]
    mine = tuple(parts[part].candidates[place] for part, place in places)
    return parts[places[0][0]].model_copy(update={"candidates": mine})


def keys_of(run: str, config: RunConfig, stage: Stage, numbers: Sequence[int]) -> list[str]:
    """The objects that hold the candidates with these numbers."""
    if not part_count(planned_in(config, stage)):
        return [candidates_key(run, stage)]
    return [candidates_part_key(run, stage, part) for part in parts_of(numbers)]
