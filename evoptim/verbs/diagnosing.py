"""Diagnose: whether a cluster and a store are as a search needs them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.doctor import Finding
    from pipelines.profile import ClusterProfile
    from pipelines.submit import Target


def diagnose(
    profile: ClusterProfile,
    target: Target,
    store: str | None = None,
    *,
    start_pods: bool = False,
    seconds: float = 600.0,
) -> Iterator[Finding]:
    """Look at everything that a search needs; nothing is changed but trial objects in the store.

    Args:
        profile: How pods are to run on the cluster.
        target: The engine.
        store: URL of the store; None for the one that the namespace's ConfigMap names.
        start_pods: Start one pod of each kind, too, which must see the store from inside.
        seconds: How long each of these pods may take.

    Yields:
        One finding for each thing that was looked at; whatever breaks is a finding.
    """
    from pipelines.doctor import examine

    yield from examine(profile, target, store, start_pods=start_pods, seconds=seconds)
