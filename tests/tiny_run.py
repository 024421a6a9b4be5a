"""Runs of a few evaluations that take a tenth of a second each, step by step over a store."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from evoptim import steps
from evoptim.config import RunConfig
from evoptim.config.reading import read_config

SETTINGS: dict[str, Any] = {
    "search.initial": 5,
    "search.particles": 2,
    "search.children": 2,
    "search.generations": 1,
    "baselines": ["sgd", "adam"],
    "finals.candidates": 1,
    "finals.seeds": [101],
    "finals.tuning": {"rates": 2, "seeds": [201]},
    "screens.trial": None,
    "screens.duplicates": False,
    "screens.hopeless": None,
    "protocol.task": {"name": "digits", "train": 40, "validation": 50, "test": 20},
    "protocol.model.base_width": 1,
    "protocol.batch_size": 20,
    "protocol.seeds": [0],
    "protocol.sweep": {
        "rates": [[0.1, 0.01]],
        "epochs": 1,
        "steps_per_epoch": 2,
        "schedule": {"total_steps": 2, "warmup_steps": 1},
        "give_up_epoch": 1,
        "give_up_accuracy": 0.0,
        "minimum_accuracy": 0.0,
        "racing": None,
    },
    "protocol.training": {
        "epochs": 2,
        "steps_per_epoch": 2,
        "schedule": {"total_steps": 4, "warmup_steps": 1},
        "give_up_epoch": 2,
        "give_up_accuracy": 0.0,
    },
}

Order = Callable[[list[int]], Sequence[int]]


def tiny_config(**changes: Any) -> RunConfig:
    """The tiny configuration; ``search__children=3`` changes ``search.children``."""
    named = {name.replace("__", "."): value for name, value in changes.items()}
    return read_config(settings=SETTINGS | named)


def start(store: Path, run: str = "tiny", **changes: Any) -> RunConfig:
    """Initialise a run."""
    config = tiny_config(**changes)
    steps.initialise(str(store), run, config.model_dump_json())
    return config


def generation(
    store: Path, number: int, run: str = "tiny", size: int = 3, order: Order = list
) -> None:
    """Propose, evaluate all chunks in the given order, select."""
    for chunk in order(steps.propose(str(store), run, number, size)):
        steps.evaluate(str(store), run, number, chunk, size)
    steps.select(str(store), run, number)


def finals(store: Path, run: str = "tiny", size: int = 3, order: Order = list) -> None:
    """Propose and evaluate the finals."""
    for chunk in order(steps.propose_finals(str(store), run, size)):
        steps.evaluate_finals(str(store), run, chunk, size)


def finish(store: Path, run: str = "tiny", generations: int = 1) -> None:
    """Every step after the first, as the pipeline calls them."""
    for number in range(generations + 1):
        generation(store, number, run)
    finals(store, run)
    steps.report(str(store), run)


def objects(store: Path) -> dict[str, tuple[int, bytes]]:
    """Every file of a store: when it was written, and its bytes."""
    return {
        str(path.relative_to(store)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(store.rglob("*"))
        if path.is_file()
    }


def deterministic(store: Path, run: str = "tiny") -> dict[str, bytes]:
    """What a run's configuration alone decides: everything but measured costs."""
    found = {}
    folder = store / "runs" / run
    for path in sorted(folder.rglob("*.json")):
        name, content = str(path.relative_to(folder)), path.read_bytes()
        if "/evaluations/" in name:
            record = json.loads(content)
            del record["cost"]
            content = json.dumps(record).encode()
        if name != "report/summary.json":
            found[name] = content
    return found
