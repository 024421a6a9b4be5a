"""An examination of a cluster before, or instead of, a search: what is missing, and what to do."""

from collections.abc import Iterator

from evoptim.errors import EvoptimError
from pipelines.argo import EXECUTOR_ACCOUNT
from pipelines.doctor import access, deep, engines, image, objects, room, storage
from pipelines.doctor.finding import Check, Finding, Verdict, carry_out
from pipelines.kubernetes_api import Cluster, Patience, connect
from pipelines.profile import ClusterProfile
from pipelines.submit.record import Target

__all__ = ["Finding", "Verdict", "examine"]

_PATIENCE = Patience(total=10.0, longest=3.0)


def examine(
    profile: ClusterProfile,
    target: Target,
    store: str | None = None,
    *,
    start_pods: bool = False,
    seconds: float = 600.0,
) -> Iterator[Finding]:
    """Examine one thing after another; whatever breaks is a finding, and the rest is looked at.

    Args:
        profile: How pods are to run.
        target: The engine.
        store: URL of the store; None for the one that the ConfigMap of the namespace names.
        start_pods: Start one pod of each kind, too.
        seconds: How long each of these may take.
    """
    cluster: Cluster | None = None
    try:
        cluster = connect(_PATIENCE)
        first = list(access.check_server(cluster))
    except EvoptimError as error:
        yield Finding("API server", "failed", str(error))
        cluster = None
    else:
        yield from first
    if target == "kfp":
        yield from carry_out("engine", lambda: engines.check_kfp(profile))
    if cluster is not None:
        for name, check in _checks(cluster, profile, target, start_pods):
            yield from carry_out(name, check)
        store = store or _store_of_cluster(cluster, profile)
    if store is None:
        yield Finding(
            "store",
            "failed",
            "no store is known",
            "give --store s3://bucket/prefix, or make the ConfigMap evoptim-store",
        )
    else:
        url = store
        yield from carry_out("store", lambda: storage.check_store(url))
        if start_pods and cluster is not None:
            there = cluster
            yield from carry_out("pods", lambda: deep.check_pods(there, profile, url, seconds))


def _checks(
    cluster: Cluster, profile: ClusterProfile, target: Target, start_pods: bool
) -> tuple[tuple[str, Check], ...]:
    more = deep.VERBS if start_pods else ()
    argo = target == "argo"
    checks: list[tuple[str, Check]] = [
        *([("engine", lambda: engines.check_argo(cluster))] if argo else []),
        ("namespace", lambda: objects.check_namespace(cluster, profile)),
        ("your rights", lambda: access.check_user(cluster, profile, target, more)),
        (
            "accounts",
            lambda: objects.check_accounts(cluster, profile, [EXECUTOR_ACCOUNT] if argo else ()),
        ),
        ("priorities", lambda: objects.check_priorities(cluster, profile)),
        ("secrets", lambda: objects.check_sources(cluster, profile)),
        ("mounts", lambda: objects.check_references(cluster, profile)),
        ("queue", lambda: objects.check_queue(cluster, profile)),
        ("quota", lambda: room.check_quota(cluster, profile)),
        ("limits", lambda: room.check_limits(cluster, profile)),
        ("nodes", lambda: room.check_nodes(cluster, profile)),
        ("image", lambda: image.check_image(cluster, profile)),
    ]
    if profile.fan_out != "loop":
        checks.insert(-9, ("pods' rights", lambda: access.check_steps(cluster, profile)))
    return tuple(checks)


def _store_of_cluster(cluster: Cluster, profile: ClusterProfile) -> str | None:
    """The store that pods are told of by a ConfigMap of their environment."""
    from pipelines.doctor.finding import read

    for source in profile.environment.config_maps:
        key = source.variables.get("EVOPTIM_STORE")
        if key is None:
            continue
        path = f"/api/v1/namespaces/{profile.namespace}/configmaps/{source.name}"
        try:
            found = read(cluster, path)
        except EvoptimError:
            return None
        told = ((found or {}).get("data") or {}).get(key)
        if told:
            return str(told)
    return None
