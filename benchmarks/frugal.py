"""Collect."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from evoptim import steps
from evoptim.config import RunConfig, preset


def full_config(data, candidates: int) -> RunConfig:
    config = preset("quickstart") if data is None else preset("quickstart", "cifar10")
    initial = candidates // 3
    search = config.search.model_copy(
        update={
            "initial": initial,
            "particles": 5,
            "children": -(-(candidates - initial) // 20),
            "generations": 4,
        }
    )
    protocol = config.protocol
    sweep = protocol.sweep.model_copy(update={"racing": None})
    task = protocol.task if data is None else protocol.task.model_copy(update={"data": str(data)})
    protocol = protocol.model_copy(update={"sweep": sweep, "task": task})
    screens = config.screens.model_copy(
        update={"hopeless": None} if hasattr(config.screens, "hopeless") else {}
    )
    return config.model_copy(
        update={"search": search, "protocol": protocol, "screens": screens, "baselines": ()}
    )


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--data", type=Path)
    p.add_argument("--candidates", type=int, default=120)
    p.add_argument("--store", required=True)
    a = p.parse_args()
    config = full_config(a.data, a.candidates)
    steps.initialise(a.store, "full", config.model_dump_json())
    for g in range(config.search.generations + 1):
        for chunk in steps.propose(a.store, "full", g, 1000):
            steps.evaluate(a.store, "full", g, chunk, 1000)
        steps.select(a.store, "full", g)
        print("generation", g, time.process_time(), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
