"""What steps read from a run: its configuration, and what a stage holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from evoptim.analysis import StageResult
from evoptim.config import Protocol, RunConfig, Value
from evoptim.errors import InputError
from evoptim.evolution import generations_without_improvement
from evoptim.records import Candidate, Candidates, Evaluation, Population
from evoptim.store import MissingObjectError, Stage, Store, load
from evoptim.store.layout import (
    candidates_key,
    config_key,
    evaluation_key,
    evaluations_prefix,
    population_key,
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
    if stage.number == 0 and config.initial_protocol is not None:
        return config.initial_protocol
    return config.protocol


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
    number = 0
    while number <= config.search.generations and store.exists(population_key(run, number)):
        number += 1
    if number > config.search.generations:
        return None
    # What is begun is finished: whoever began it may have had more patience.
    if patience > 0 and not store.exists(candidates_key(run, Stage.generation(number))):
        # Scores under another protocol cannot be compared.
        first = 0 if config.initial_protocol is None else 1
        populations = [read_population(store, run, each) for each in range(first, number)]
        if generations_without_improvement(populations) >= patience:
            return None
    return number


def read_evaluations(
    store: Store, run: str, stage: Stage, candidates: Sequence[Candidate]
) -> dict[int, Evaluation]:
    """The evaluations that there are of a stage's candidates, by candidate index."""
    # One listing costs less than asking for every object; it may hold files that are not ours.
    there = set(store.list(evaluations_prefix(run, stage)))
    keys = {each.index: evaluation_key(run, stage, each.index) for each in candidates}
    return {index: load(store, key, Evaluation) for index, key in keys.items() if key in there}


def read_stage(store: Store, run: str, stage: Stage) -> StageResult | None:
    """The candidates of a stage with the evaluations that there are; None before it is proposed."""
    if not store.exists(candidates_key(run, stage)):
        return None
    proposed = read_candidates(store, run, stage)
    evaluations = read_evaluations(store, run, stage, proposed.candidates)
    return StageResult(
        generation=stage.number or 0,
        candidates=proposed,
        evaluations=tuple(evaluations.get(each.index) for each in proposed.candidates),
    )


def stages(config: RunConfig) -> tuple[Stage, ...]:
    """Every stage of a run, the baselines first."""
    numbers = range(config.search.generations + 1)
    return (Stage.baselines(), *(Stage.generation(number) for number in numbers))


def planned_evaluations(config: RunConfig) -> int:
    """How many evaluations a whole run makes, baselines included."""
    return sum(planned_in(config, stage) for stage in stages(config))


def planned_in(config: RunConfig, stage: Stage) -> int:
    """How many evaluations one stage makes."""
    search = config.search
    if stage.number is None:
        return len(config.baselines)
    if stage.number == 0:
        return search.initial
    # Particles that another protocol scored are scored again.
    rescored = search.particles if config.initial_protocol and stage.number == 1 else 0
    return search.particles * search.children + rescored
