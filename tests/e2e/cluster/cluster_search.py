"""The steps of a small search as sessions of pods run them, and what they are to leave."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from tiny_run import SETTINGS, tiny_config

from evoptim.config import RunConfig
from pipelines.profile import ClusterProfile

Object = dict[str, Any]

RUN = "e2e"

SIZE = 2
"""Candidates a task."""


def initialise(store: str, config: RunConfig) -> Object:
    """The step that writes the configuration."""
    return _step("initialise", store, "--config", config.model_dump_json())


def propose(store: str, number: int) -> Object:
    """The step that writes the candidates of a generation."""
    return _step("propose", store, *_generation(number), *_size())


def generation(
    store: str,
    number: int,
    profile: ClusterProfile,
    kill_at: str | None = None,
    size: int = SIZE,
) -> Object:
    """The step of a whole generation, in a Job; killed as soon as it says something."""
    step = {"run": generation_arguments(store, number, profile, size)}
    return step if kill_at is None else {**step, "kill at": kill_at}


def generation_arguments(
    store: str, number: int, profile: ClusterProfile, size: int = SIZE
) -> list[str]:
    """What follows ``evoptim`` in the pod that watches a generation's Job."""
    told = ("--profile-json", profile.canonical_json())
    given = (*_generation(number), *_size(size), *told)
    found: list[str] = _step("generation", store, *given)["run"]
    return found


def finals(store: str, profile: ClusterProfile) -> list[Object]:
    """The steps that hold the finals in a Job."""
    told = ("--profile-json", profile.canonical_json())
    return [
        _step("propose-finals", store, *_size()),
        _step("evaluate-finals-fanout", store, *_size(), *told),
    ]


def evaluate_here(store: str, number: int, chunk: int) -> Object:
    """The step that evaluates one chunk in the session's own pod."""
    return _step("evaluate", store, *_generation(number), "--chunk", str(chunk), *_size())


def select(store: str, number: int) -> Object:
    """The step that writes the population."""
    return _step("select", store, *_generation(number))


def report(store: str) -> Object:
    """The step that writes the report."""
    return _step("report", store)


def rest(
    store: str, profile: ClusterProfile, config: RunConfig, first: int = 0, size: int = SIZE
) -> list[Object]:
    """All steps of a search from this generation on."""
    numbers = range(first, config.search.generations + 1)
    steps = [generation(store, number, profile, size=size) for number in numbers]
    return [*steps, *finals(store, profile), report(store)]


def whole(store: str, profile: ClusterProfile, config: RunConfig, size: int = SIZE) -> list[Object]:
    """All steps of a search."""
    return [initialise(store, config), *rest(store, profile, config, size=size)]


def alone(store: str, config: RunConfig) -> list[Object]:
    """All steps of a search without a Job: every chunk is evaluated in the session's own pod."""
    steps = [initialise(store, config)]
    search = config.search
    for number in range(search.generations + 1):
        size = search.initial if number == 0 else search.particles * search.children
        trained = [evaluate_here(store, number, chunk) for chunk in _chunks(size)]
        steps += [propose(store, number), *trained, select(store, number)]
    steps.append(_step("propose-finals", store, *_size()))
    steps += [
        _step("evaluate-finals", store, "--chunk", str(chunk), *_size())
        for chunk in _chunks(config.finals.candidates + len(config.baselines))
    ]
    return [*steps, report(store)]


def _chunks(candidates: int) -> range:
    return range(math.ceil(candidates / SIZE))


def local_search(folder: Path | str) -> list[str]:
    """``evoptim search``: the same search as a user runs it on one machine."""
    pairs = [
        part for name, value in SETTINGS.items() for part in ("--set", f"{name}={_text(value)}")
    ]
    return ["search", "--store", str(folder), "--run", RUN, "--workers", "1", *pairs]


def config_of(seed: int = 0, **changes: Any) -> RunConfig:
    """The configuration of the same search."""
    return tiny_config(seed=seed, **changes)


def lasting(seed: int = 0) -> RunConfig:
    """A configuration whose candidates train for half a second and more.

    Five of them are at work still, a second after their pod was seen to be, however fast the
    machine is.
    """
    steps = 500
    training = {
        "epochs": 2,
        "steps_per_epoch": steps,
        "schedule": {"total_steps": 2 * steps, "warmup_steps": 1},
        "give_up_epoch": 2,
        "give_up_accuracy": 0.0,
    }
    return config_of(seed, protocol__training=training, finals__tuning=None)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _step(name: str, store: str, *more: str) -> Object:
    return {"run": ["step", name, "--store", store, "--run", RUN, *more]}


def _generation(number: int) -> tuple[str, str]:
    return ("--generation", str(number))


def _size(size: int = SIZE) -> tuple[str, str]:
    return ("--candidates-per-task", str(size))
