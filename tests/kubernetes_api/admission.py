"""What the API server checks, and fills in, before it keeps a pod or a Job."""

from __future__ import annotations

from manifest_checks.pod_security import problems
from manifest_checks.pods import Pod

from kubernetes_api.objects import Objects
from kubernetes_api.wire import Object, Refused


def check_quota(kind: str, each: Object, space: Objects) -> None:
    """A quota of which nothing is known yet lets nothing pass."""
    for quota in space.objects["resourcequotas"].values():
        if "hard" not in quota.get("status", {}):
            name, of = each["metadata"]["name"], quota["metadata"]["name"]
            told = f'{kind} "{name}" is forbidden: status unknown for quota: {of}, resources: pods'
            raise Refused(403, "Forbidden", told)


def check_pod(pod: Object, space: Objects, labels: Object, classes: Objects) -> None:
    """Refuse what breaks the namespace's level, or names what is not there."""
    name, spec = pod["metadata"]["name"], pod["spec"]
    account = spec.get("serviceAccountName", "default")
    if account not in space.objects["serviceaccounts"]:
        told = f"error looking up service account: serviceaccount {account!r} not found"
        raise Refused(403, "Forbidden", f'pods "{name}" is forbidden: {told}')
    wanted = spec.get("priorityClassName")
    if wanted and wanted not in classes.objects["priorityclasses"]:
        told = f"no PriorityClass with name {wanted} was found"
        raise Refused(403, "Forbidden", f'pods "{name}" is forbidden: {told}')
    if labels.get("pod-security.kubernetes.io/enforce") != "restricted":
        return
    for each in problems(Pod(f"pods {name}", pod["metadata"].get("labels") or {}, spec)):
        told = f'violates PodSecurity "restricted:v1.33": {each}'
        raise Refused(403, "Forbidden", f'pods "{name}" is forbidden: {told}')
