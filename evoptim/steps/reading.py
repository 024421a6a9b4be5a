"""What steps read from a run: its configuration, and what a stage holds."""

from __future__ import annotations

from evoptim.analysis import StageResult
from evoptim.config import Protocol, RunConfig
from evoptim.errors import InputError
from evoptim.records import Candidates, Evaluation
from evoptim.store import MissingObjectError, Stage, Store, load
from evoptim.store.layout import candidates_key, config_key, evaluation_key, evaluations_prefix


def read_config(store: Store, run: str) -> RunConfig:
    """The configuration of a run.

    Raises:
        InputError: there is no such run.
    """
    try:
        return load(store, config_key(run), RunConfig)
    except MissingObjectError:
        raise InputError(
            f"there is no run {run!r} in {store.url}: check --store and --run, or start it with "
            "evoptim search"
        ) from None


def stage_protocol(config: RunConfig, stage: Stage) -> Protocol:
    """The protocol that scores the candidates of a stage."""
    if stage.number == 0 and config.initial_protocol is not None:
        return config.initial_protocol
    return config.protocol


def read_stage(store: Store, run: str, stage: Stage) -> StageResult | None:
    """The candidates of a stage with the evaluations that there are; None before it is proposed."""
    try:
        candidates = load(store, candidates_key(run, stage), Candidates)
    except MissingObjectError:
        return None
    evaluations = read_evaluations(store, run, stage)
    return StageResult(
        generation=stage.number or 0,
        candidates=candidates,
        evaluations=tuple(evaluations.get(each.index) for each in candidates.candidates),
    )


def read_evaluations(store: Store, run: str, stage: Stage) -> dict[int, Evaluation]:
    """The evaluations of a stage, by candidate index."""
    prefix = evaluations_prefix(run, stage)
    indices = [int(key[len(prefix) :].partition(".")[0]) for key in store.list(prefix)]
    return {index: load(store, evaluation_key(run, stage, index), Evaluation) for index in indices}


def stages(config: RunConfig) -> tuple[Stage, ...]:
    """Every stage of a run, the baselines first."""
    numbers = range(config.search.generations + 1)
    return (Stage.baselines(), *(Stage.generation(number) for number in numbers))


def planned_evaluations(config: RunConfig) -> int:
    """How many evaluations a whole run makes, baselines included."""
    search = config.search
    rescored = search.particles if config.initial_protocol and search.generations else 0
    children = search.generations * search.particles * search.children
    return len(config.baselines) + search.initial + rescored + children
