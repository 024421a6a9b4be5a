"""Whether the namespace holds what the profile names, and lets such pods in."""

from collections.abc import Iterable, Iterator

from pipelines.doctor.finding import Finding, read
from pipelines.kubernetes_api import Cluster, Object
from pipelines.profile import ClusterProfile, KeySource

_LEVEL = "pod-security.kubernetes.io/enforce"


def check_namespace(cluster: Cluster, profile: ClusterProfile) -> Iterator[Finding]:
    """The namespace, and its Pod Security level."""
    name = profile.namespace
    found = read(cluster, f"/api/v1/namespaces/{name}")
    if found is None:
        yield Finding(
            "namespace",
            "failed",
            f"there is no namespace {name}",
            "apply the manifests, or correct the profile's namespace",
        )
        return
    level = (found["metadata"].get("labels") or {}).get(_LEVEL, "privileged")
    offences = _offences(profile) if level == "restricted" else ()
    if offences:
        yield Finding(
            "namespace",
            "failed",
            f"{name} enforces Pod Security {level}, which refuses pods with "
            f"{' and '.join(offences)}",
            "correct the profile's security, or the namespace's label",
        )
        return
    yield Finding("namespace", "ok", f"{name} is there, Pod Security {level}")


def _offences(profile: ClusterProfile) -> tuple[str, ...]:
    security = profile.security
    rules = {
        "run_as_non_root: false": not security.run_as_non_root,
        "allow_privilege_escalation: true": security.allow_privilege_escalation,
        "capabilities": "ALL" not in security.drop_capabilities,
        "no seccomp profile": security.seccomp != "RuntimeDefault",
    }
    return tuple(name for name, broken in rules.items() if broken)


def check_accounts(
    cluster: Cluster, profile: ClusterProfile, more: Iterable[str] = ()
) -> Iterator[Finding]:
    """The service accounts of the pods."""
    names = {profile.steps.service_account, profile.workers.service_account, *more}
    base = f"/api/v1/namespaces/{profile.namespace}/serviceaccounts"
    lacking = sorted(name for name in names if read(cluster, f"{base}/{name}") is None)
    if lacking:
        yield Finding(
            "accounts",
            "failed",
            f"there is no service account {', '.join(lacking)}",
            "apply the manifests, or correct the profile",
        )
        return
    yield Finding("accounts", "ok", f"{', '.join(sorted(names))} are there")


def check_priorities(cluster: Cluster, profile: ClusterProfile) -> Iterator[Finding]:
    """The PriorityClasses of the pods; without one the cluster refuses them."""
    names = sorted(
        {each for each in (profile.steps.priority_class, profile.workers.priority_class) if each}
    )
    base = "/apis/scheduling.k8s.io/v1/priorityclasses"
    for name in names:
        if read(cluster, f"{base}/{name}") is None:
            yield Finding(
                "priorities",
                "failed",
                f"there is no PriorityClass {name}",
                "apply the manifests, or set the profile's priority_class to null",
            )
        else:
            yield Finding("priorities", "ok", f"the PriorityClass {name} is there")


def check_sources(cluster: Cluster, profile: ClusterProfile) -> Iterator[Finding]:
    """The Secrets and ConfigMaps that variables are taken from, and their keys."""
    environment = profile.environment
    for kind, path, sources in (
        ("Secret", "secrets", environment.secrets),
        ("ConfigMap", "configmaps", environment.config_maps),
    ):
        for name in dict.fromkeys(each.name for each in sources):
            found = read(cluster, f"/api/v1/namespaces/{profile.namespace}/{path}/{name}")
            yield _source_finding(
                kind, name, found, tuple(each for each in sources if each.name == name)
            )


def _source_finding(
    kind: str, name: str, found: Object | None, sources: tuple[KeySource, ...]
) -> Finding:
    check = "secrets" if kind == "Secret" else "settings"
    needed = {key for each in sources if not each.optional for key in each.variables.values()}
    offered = set((found or {}).get("data") or ()) | set((found or {}).get("binaryData") or ())
    # Empty values count as none: boto3 takes an empty key for a wrong one.
    empty = {key for key, value in ((found or {}).get("data") or {}).items() if not value}
    lacking = sorted(needed - (offered - empty))
    flag = "--from-literal" if kind == "ConfigMap" else "--from-env-file"
    make = (
        f"kubectl create {'configmap' if kind == 'ConfigMap' else 'secret generic'} {name} {flag}"
    )
    if found is None and needed:
        return Finding(check, "failed", f"there is no {kind} {name}", f"make it: {make}=…")
    if lacking:
        told = f"the {kind} {name} lacks {', '.join(lacking)}"
        return Finding(check, "failed", told, "add what it lacks; the profile names it")
    if found is None:
        told = f"there is no {kind} {name}, which is optional"
        remedy = "make it where pods need an endpoint or region of their own"
        return Finding(check, "warning", told, remedy)
    keys = sorted({key for each in sources for key in each.variables.values()} & offered - empty)
    return Finding(check, "ok", f"the {kind} {name} has {', '.join(keys) or 'no key that is read'}")


def check_references(cluster: Cluster, profile: ClusterProfile) -> Iterator[Finding]:
    """Pull secrets and mounts."""
    base = f"/api/v1/namespaces/{profile.namespace}"
    for name in profile.image_pull_secrets:
        if read(cluster, f"{base}/secrets/{name}") is None:
            yield Finding(
                "secrets",
                "failed",
                f"there is no Secret {name} to pull the image with",
                f"make it: kubectl create secret docker-registry {name} …",
            )
    paths = {"claim": "persistentvolumeclaims", "config_map": "configmaps", "secret": "secrets"}
    for mount in profile.mounts:
        found = read(cluster, f"{base}/{paths[mount.kind]}/{mount.name}")
        if found is None:
            yield Finding(
                "mounts",
                "failed",
                f"there is no {mount.kind} {mount.name} to mount on {mount.path}",
                "make it, or take it out of the profile's mounts",
            )
            continue
        phase = (found.get("status") or {}).get("phase", "Bound")
        lost = mount.kind == "claim" and phase == "Lost"
        told = f"the {mount.kind} {mount.name} is there"
        if lost:
            yield Finding("mounts", "failed", f"{told}, but has lost its volume", "make it anew")
        else:
            yield Finding("mounts", "ok", f"{told}{f', {phase}' if mount.kind == 'claim' else ''}")


def check_queue(cluster: Cluster, profile: ClusterProfile) -> Iterator[Finding]:
    """Kueue's LocalQueue, if pods wait in one."""
    queue = profile.queue
    if queue is None:
        return
    group = read(cluster, "/apis/kueue.x-k8s.io")
    if group is None:
        yield Finding(
            "queue",
            "failed",
            "the cluster has no Kueue, and the profile names a queue",
            "install Kueue, or set the profile's queue to null",
        )
        return
    version = group["preferredVersion"]["version"]
    base = f"/apis/kueue.x-k8s.io/{version}/namespaces/{profile.namespace}/localqueues"
    found = read(cluster, f"{base}/{queue.name}")
    if found is None:
        yield Finding(
            "queue",
            "failed",
            f"there is no LocalQueue {queue.name} in {profile.namespace}: Jobs would wait for ever",
            "apply the overlay kueue of the manifests, or correct the profile's queue",
        )
        return
    status = found.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition.get("type") == "Active" and condition.get("status") != "True":
            told = f"the LocalQueue {queue.name} is not active ({condition.get('message')})"
            yield Finding("queue", "failed", told, "see its ClusterQueue and ResourceFlavors")
            return
    waiting = status.get("pendingWorkloads") or 0
    yield Finding("queue", "ok", f"the LocalQueue {queue.name} is active, {waiting} waiting")
