"""The servers that a run is asked about: its engine, and the cluster's API server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evoptim.errors import InputError

if TYPE_CHECKING:
    from pipelines.kubernetes_api import Cluster
    from pipelines.submit import Engine, Submission, Target

# One command waits so long for a server that is away; one that is left alone, much longer.
_SECONDS = 20.0
FOLLOWING_SECONDS = 1800.0
"""How long whatever follows a run waits for a server that is away."""


def engine_of(target: Target, address: str | None, cluster: Cluster | None) -> Engine:
    """An engine, by the environment; nothing is contacted yet.

    Args:
        target: Which.
        address: URL of the KFP that took a run; the environment's goes before it.
        cluster: The API server for Argo; None for the one that the environment names.

    Raises:
        InputError: the environment names none.
    """
    from pipelines.submit import ArgoEngine, KfpEngine

    if target == "kfp":
        return KfpEngine(address)
    return ArgoEngine(cluster or connected())


def connected(seconds: float | None = None) -> Cluster:
    """The API server that the environment names; it is waited for so many seconds.

    Raises:
        InputError: the environment names none.
    """
    from pipelines.kubernetes_api import Patience, connect

    return connect(Patience(total=_SECONDS if seconds is None else seconds, longest=5.0))


def cluster_of(submission: Submission) -> tuple[Cluster | None, tuple[str, ...]]:
    """The API server; KFP can be followed without, as far as KFP itself tells.

    Returns:
        The API server or None, and remarks on what is not seen without it.
    """
    try:
        return connected(), ()
    except InputError as error:
        if submission.target == "argo":
            raise
        if submission.fan_out == "loop":
            return None, ()
        return None, (f"its Jobs cannot be seen: {error}",)
