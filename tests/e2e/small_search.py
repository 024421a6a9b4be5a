"""A whole search in seconds, through the command line, and what it leaves in its store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SETTINGS = (
    "search.initial=6",
    "search.particles=2",
    "search.children=2",
    "search.generations=2",
    "baselines=[sgd, adam]",
    "protocol.task.train=200",
    "protocol.task.validation=100",
    "protocol.task.test=100",
    "protocol.model.base_width=2",
    "protocol.sweep.epochs=2",
    "protocol.sweep.steps_per_epoch=4",
    "protocol.sweep.schedule={total_steps: 8, warmup_steps: 1}",
    "protocol.sweep.give_up_epoch=2",
    "protocol.sweep.give_up_accuracy=0.0",
    "protocol.sweep.minimum_accuracy=0.05",
    "protocol.training={epochs: 3, steps_per_epoch: 5, schedule: {total_steps: 15, "
    "warmup_steps: 2}, give_up_epoch: 3, give_up_accuracy: 0.0}",
)
PLANNED = 2 + 6 + 2 * 2 * 2


def arguments(run: str = "small", *settings: str) -> list[str]:
    """``evoptim search`` with the small configuration, changed by ``settings``."""
    pairs = [part for setting in (*SETTINGS, *settings) for part in ("--set", setting)]
    return ["search", "--run", run, *pairs]


def command(*words: str) -> list[str]:
    """``evoptim`` in this interpreter."""
    return [sys.executable, "-c", "from evoptim.cli import main; main()", *words]


def evoptim(
    *words: str, cwd: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``evoptim`` to its end."""
    return subprocess.run(
        command(*words),
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def contents(store: Path, run: str = "small") -> dict[str, Any]:
    """Everything that is a function of the configuration: by key, costs and pages left out."""
    found: dict[str, Any] = {}
    folder = store / "runs" / run
    for path in sorted(folder.rglob("*.json")):
        value = json.loads(path.read_bytes())
        name = str(path.relative_to(folder))
        if name == "report/summary.json":
            continue
        if "/evaluations/" in name:
            value.pop("cost")
        found[name] = value
    return found
