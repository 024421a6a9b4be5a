"""What the tests of the Job's driver share: one call of it, and what pods of its Job do."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evoptim import steps
from evoptim.steps.chunks import CHUNKS_VARIABLE, chunk_at
from evoptim.store import Stage
from pipelines.fanout import Pace, evaluate_fanout
from pipelines.kubernetes_api import Cluster
from pipelines.profile import ClusterProfile
from pipelines.profile_reading import read_profile

QUICK = Pace(report=1.0, breath=0.01, settle=0.3, vanish=5.0)
STAGE = Stage.generation(0)


class Drive:
    """One call of the driver."""

    def __init__(self, store: Path, cluster: Cluster) -> None:
        self.store = store
        self.cluster = cluster
        self.lines: list[str] = []
        self.profile = read_profile(settings={"workers.retries": 1, "max_failed_fraction": 0.0})

    def __call__(self, **changes: Any) -> None:
        settings = {**self.profile.settings(), **changes}
        profile = ClusterProfile.model_validate_json(json.dumps(settings))
        evaluate_fanout(
            str(self.store),
            "tiny",
            STAGE,
            1,
            profile,
            cluster=self.cluster,
            pace=QUICK,
            log=self.lines.append,
        )

    def in_background(self, **changes: Any) -> tuple[threading.Thread, list[BaseException]]:
        errors: list[BaseException] = []

        def call() -> None:
            try:
                self(**changes)
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=call, daemon=True)
        thread.start()
        return thread, errors


def trains(store: Path) -> Callable[[int, dict[str, str]], int]:
    """What a pod does: it evaluates the chunk of its index."""

    def task(index: int, environment: dict[str, str]) -> int:
        chunk = chunk_at(index, environment.get(CHUNKS_VARIABLE))
        steps.evaluate(str(store), "tiny", 0, chunk, 1, wait=True)
        return 0

    return task


def missing(store: Path) -> tuple[int, ...]:
    return steps.missing_chunks(str(store), "tiny", STAGE, 1).chunks
