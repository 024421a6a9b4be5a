"""A tiny run that is submitted to fake engines; its store is a folder that pods would mount."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiny_run import SETTINGS, finish, start, tiny_config

from evoptim.store import open_store
from pipelines.profile import ClusterProfile
from pipelines.profile_reading import read_profile
from pipelines.submit import Submission, Target, engine_name, record

RUN = "tiny"


def cluster_profile(store: Path, **changes: Any) -> ClusterProfile:
    """The default profile with the store mounted; ``workers__retries=3`` changes one setting."""
    claim = {"kind": "claim", "name": "runs", "path": str(store), "read_only": False}
    named = {name.replace("__", "."): value for name, value in changes.items()}
    return read_profile(
        settings={"mounts": [claim], "image": "registry.example/evoptim:1", **named}
    )


def remember(
    store: Path, target: Target, engine_id: str, address: str, **changes: Any
) -> Submission:
    """Write down a submission as if it had been made; to compile one takes a second."""
    profile = cluster_profile(store, **changes)
    submission = Submission(
        number=0,
        target=target,
        name=engine_name(str(store), RUN, 0),
        engine_id=engine_id,
        address=address,
        fan_out="job" if profile.fan_out == "job" else "loop",
        profile=profile,
        config=tiny_config(),
        patience=0,
        submitted_at="2026-01-01T00:00:00+00:00",
        version="0.1.0",
    )
    assert record(open_store(str(store)), RUN, submission)
    return submission


def compute(store: Path) -> None:
    """Do what the cluster's pods would do, all of it."""
    start(store)
    finish(store)


__all__ = ["RUN", "SETTINGS", "cluster_profile", "compute", "remember", "start", "tiny_config"]
