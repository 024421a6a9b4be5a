"""What steps read from a run: its configuration, and what a stage holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from evoptim.analysis import StageResult
from evoptim.config import Protocol, RunConfig, Screens, Value
from evoptim.errors import InputError
from evoptim.evolution import generations_without_improvement
from evoptim.records import Candidate, Candidates, Population, Score
from evoptim.steps.scores import scores_here, scores_of
from evoptim.steps.twins import as_own, evaluated_at, listed
from evoptim.store import MissingObjectError, Stage, Store, load
from evoptim.store.layout import (
    candidates_key,
    candidates_part_key,
    config_key,
    evaluations_prefix,
    population_key,
    run_prefix,
)

Model = TypeVar("Model", bound=Value)


def read(store: Store, key: str, model: type[Model], without: str) -> Model:
    """An object that an earlier step has written.

    Raises:
        InputError: it is broken, or it is not there; then the line is ``without``.
    """
    try:
        return load(store, key, model)
    except MissingObjectError:
        raise InputError(without) from None


def read_config(store: Store, run: str) -> RunConfig:
    """The configuration of a run.

    Raises:
        InputError: there is no such run.
    """
    return read(
        store,
        config_key(run),
        RunConfig,
        f"there is no run {run!r} in {store.url}: check --store and --run, or start it with "
        "evoptim search",
    )


def stage_protocol(config: RunConfig, stage: Stage) -> Protocol:
    """The protocol that scores the candidates of a stage."""
    if stage.number is None:
        return config.finals_protocol()
    if stage.number == 0 and config.initial_protocol is not None:
        return config.initial_protocol
    return config.protocol


def protocol_changes(config: RunConfig, generation: int) -> bool:
    """Whether particles come into a generation with results under another protocol than its own."""
    return generation == 1 and config.initial_protocol is not None


def stage_screens(config: RunConfig, stage: Stage) -> Screens:
    """What may keep candidates of a stage from their training: nothing does in the finals."""
    return Screens() if stage.number is None else config.screens


def read_candidates(store: Store, run: str, stage: Stage) -> Candidates:
    """What a stage evaluates.

    Raises:
        InputError: it is not proposed yet.
    """
    return read(
        store,
        candidates_key(run, stage),
        Candidates,
        f"{stage} of the run {run!r} has no candidates yet: run its propose step first",
    )


def read_population(store: Store, run: str, generation: int) -> Population:
    """What selection left of a generation.

    Raises:
        InputError: it is not selected yet.
    """
    return read(
        store,
        population_key(run, generation),
        Population,
        f"generation {generation} of the run {run!r} has no population yet: run its select step "
        "first",
    )


def open_generation(store: Store, run: str, config: RunConfig, patience: int = 0) -> int | None:
    """The first generation that has no population yet; None where the run is at its end.

    Args:
        store: The store.
        run: Name of the run.
        config: Its configuration.
        patience: The run also ends where the best fitness has not risen for so many generations,
            unless the next one is begun; 0 goes on to the last.
    """
    number = first_unselected(store, run, config)
    return None if is_at_its_end(store, run, config, number, patience) else number


def first_unselected(store: Store, run: str, config: RunConfig, first: int = 0) -> int:
    """The first generation from ``first`` on without a population, or the one past the last."""
    number = first
    while number <= config.search.generations and store.exists(population_key(run, number)):
        number += 1
    return number


def is_at_its_end(store: Store, run: str, config: RunConfig, number: int, patience: int) -> bool:
    """Whether no generation follows those before ``number``; ``patience`` as above."""
    if number > config.search.generations:
        return True
    # What is begun is finished: whoever began it may have had more patience.
    if store.exists(candidates_key(run, Stage.generation(number))):
        return False
    # Whose finals are begun is at its end: they are between the best of all generations.
    if store.exists(candidates_key(run, Stage.finals())):
        return True
    if patience == 0:
        return False
    # Scores under another protocol cannot be compared.
    first = 0 if config.initial_protocol is None else 1
    populations = [read_population(store, run, each) for each in range(first, number)]
    return generations_without_improvement(populations) >= patience


def read_scores(
    store: Store,
    run: str,
    stage: Stage,
    candidates: Sequence[Candidate],
    known: Mapping[str, Score] | None = None,
) -> dict[int, Score]:
    """What the evaluations that there are say of a stage's candidates, by candidate index.

    Args:
        store: The store.
        run: Name of the run.
        stage: The stage.
        candidates: Its candidates.
        known: What some evaluations say, by key: they are not read again.
    """
    found = _found(run, stage, candidates, listed(store, run, stage, candidates))
    scores = dict(known or {})
    # Duplicates have the keys of others.
    keys = [key for key in dict.fromkeys(found.values()) if key not in scores]
    scores.update(zip(keys, scores_of(store, keys), strict=True))
    return {
        each.index: as_own(scores[found[each.index]], each)
        for each in candidates
        if each.index in found
    }


def _found(
    run: str, stage: Stage, candidates: Sequence[Candidate], there: frozenset[str]
) -> dict[int, str]:
    """The keys of a stage's evaluations that are there, by the index of the candidate."""
    # Of a listing only what is asked for counts: it may hold files that are not ours.
    keys = {each.index: evaluated_at(run, stage, each) for each in candidates}
    return {index: key for index, key in keys.items() if key in there}


OnRead = Callable[[int, int], None]
"""Called with (evaluations read, evaluations that there are) while a run is read."""


def read_stages(
    store: Store,
    run: str,
    config: RunConfig,
    on_read: OnRead | None = None,
    *,
    finals: bool = True,
) -> tuple[StageResult, ...]:
    """The stages that are proposed already, each with the evaluations that there are.

    Args:
        store: The store.
        run: Name of the run.
        config: Its configuration.
        on_read: Called while they are read.
        finals: Whether to read the finals too, beside the search before them.

    Raises:
        InputError: the candidates of a stage are gone, so that something would be left out.
    """
    there = frozenset(store.list(run_prefix(run)))
    wanted = [each for each in stages(config) if finals or each.number is not None]
    proposed = [each for each in wanted if candidates_key(run, each) in there]
    _check_no_gap(store, run, wanted, there, proposed)
    folders = {evaluations_prefix(run, each).rstrip("/") for each in proposed}
    total, done = sum(key.rpartition("/")[0] in folders for key in there), 0

    def count() -> None:
        nonlocal done
        done += 1
        if on_read is not None:
            on_read(done, total)

    results = []
    # Duplicates may have the evaluations of earlier stages.
    scores: dict[str, Score] = {}
    for stage in proposed:
        candidates = read_candidates(store, run, stage)
        found = _found(run, stage, candidates.candidates, there)
        new = [key for key in dict.fromkeys(found.values()) if key not in scores]
        for key, score in zip(new, scores_here(store, new), strict=True):
            scores[key] = score
            count()
        results.append(
            StageResult(
                generation=stage.number or 0,
                candidates=candidates,
                scores=tuple(
                    as_own(scores[found[each.index]], each) if each.index in found else None
                    for each in candidates.candidates
                ),
            )
        )
    return tuple(results)


def _check_no_gap(
    store: Store,
    run: str,
    wanted: Sequence[Stage],
    there: frozenset[str],
    proposed: Sequence[Stage],
) -> None:
    """A stage that was evaluated or selected, or after which others were proposed, was proposed."""
    evaluated = {key.rpartition("/")[0] for key in there}
    last = max((each.number for each in proposed if each.number is not None), default=-1)
    for stage in wanted:
        number = stage.number
        # What is proposed in parts is evaluated before the last one is there.
        under_way = candidates_part_key(run, stage, 0) in there
        begun = (evaluations_prefix(run, stage).rstrip("/") in evaluated and not under_way) or (
            number is not None and (number < last or population_key(run, number) in there)
        )
        # Of a run at work a listing shows some things before others.
        lost = begun and stage not in proposed and not store.exists(candidates_key(run, stage))
        if lost:
            raise InputError(
                f"{stage} of the run {run!r} has lost its candidates "
                f"({candidates_key(run, stage)}): run the same search again, which writes them anew"
            )


def stages(config: RunConfig) -> tuple[Stage, ...]:
    """Every stage of a run, in order."""
    numbers = range(config.search.generations + 1)
    return (*(Stage.generation(number) for number in numbers), Stage.finals())


def planned_evaluations(config: RunConfig) -> int:
    """How many evaluations a whole run makes at most, the finals included."""
    return sum(planned_in(config, stage) for stage in stages(config))


def planned_in(config: RunConfig, stage: Stage) -> int:
    """How many evaluations one stage makes; the finals may have fewer, if fewer trained."""
    search = config.search
    if stage.number is None:
        return config.finals.candidates + len(config.baselines)
    if stage.number == 0:
        return search.initial
    # Particles that another protocol scored are scored again.
    rescored = search.particles if config.initial_protocol and stage.number == 1 else 0
    return search.particles * search.children + rescored
