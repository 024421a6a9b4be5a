"""What a submitted run remembers of where it went: one write-once document for each submission."""

import hashlib
import json
from typing import Literal

from evoptim.config import RunConfig, Value
from evoptim.store import Store, load, save
from evoptim.store.layout import submission_key, submissions_prefix
from pipelines.profile import ClusterProfile

Target = Literal["kfp", "argo"]
"""The engine: Kubeflow Pipelines, or Argo Workflows alone."""

# A workflow's name is also the value of a label on its pods.
_LONGEST_NAME = 63


class Submission(Value):
    """Where a run was sent, and with what; nothing in it is secret."""

    number: int
    """0 for the first submission of a run; each later one continued it."""
    target: Target
    name: str
    """The engine's name for it; it follows from the store, the run and the number."""
    engine_id: str
    """What the engine made of it: the run's id (KFP), or the workflow's UID (Argo)."""
    address: str
    """URL of the API that took it, as seen from where it was submitted."""
    fan_out: Literal["loop", "job"]
    profile: ClusterProfile
    config: RunConfig
    patience: int
    """Generations without anything better that end the run early; 0 for none (Argo only)."""
    submitted_at: str
    """UTC, ISO 8601."""
    version: str
    """Version of evoptim that submitted it."""


def last_submission(store: Store, run: str) -> Submission | None:
    """The latest submission of a run; None if it never was.

    Raises:
        InputError: the document is broken.
    """
    keys = list(store.list(submissions_prefix(run)))
    return load(store, keys[-1], Submission) if keys else None


def record(store: Store, run: str, submission: Submission) -> bool:
    """Remember a submission; False if one of this number is remembered already."""
    return save(store, submission_key(run, submission.number), submission)


def engine_name(store: str, run: str, number: int) -> str:
    """Name of a submission: readable, the same for whoever tries it again, and no other's.

    Args:
        store: URL of the store; two may hold runs of one name.
        run: Name of the run.
        number: Number of the submission.
    """
    digest = hashlib.sha256(json.dumps([store, run, number]).encode()).hexdigest()
    # Shortened, names of different runs could meet; the hash tells them apart.
    ending = f"-{number}-{digest[:8]}"
    return f"evoptim-{run}"[: _LONGEST_NAME - len(ending)].rstrip("-") + ending
