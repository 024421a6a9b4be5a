"""From the path of a request to the kind of object that it is about."""

from __future__ import annotations

import re
from dataclasses import dataclass

KINDS = {
    "v1": {
        "Namespace": "namespaces",
        "Node": "nodes",
        "ServiceAccount": "serviceaccounts",
        "ConfigMap": "configmaps",
        "Secret": "secrets",
        "Service": "services",
        "Pod": "pods",
        "Event": "events",
        "ResourceQuota": "resourcequotas",
        "LimitRange": "limitranges",
    },
    "batch/v1": {"Job": "jobs"},
    "rbac.authorization.k8s.io/v1": {"Role": "roles", "RoleBinding": "rolebindings"},
    "networking.k8s.io/v1": {"NetworkPolicy": "networkpolicies"},
    "scheduling.k8s.io/v1": {"PriorityClass": "priorityclasses"},
    "argoproj.io/v1alpha1": {"Workflow": "workflows", "WorkflowTemplate": "workflowtemplates"},
}
CLUSTER_WIDE = ("Namespace", "Node", "PriorityClass")

_PATH = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/(?P<version>v1\w*)(?:/namespaces/(?P<namespace>[^/]+)(?=/))?"
    r"/(?P<kind>[a-z]+)(?:/(?P<name>[^/]+))?(?:/(?P<part>[a-z]+))?"
)


@dataclass(frozen=True)
class Place:
    """An object, or all of a kind."""

    group: str
    namespace: str
    kind: str
    name: str
    part: str
    """Subresource, such as ``log``."""

    @property
    def resource(self) -> str:
        """As rules of rights name it: ``pods/log``."""
        return f"{self.kind}/{self.part}" if self.part else self.kind


def place_of(path: str) -> Place | None:
    """What a path is about; None where it is none of objects."""
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    return Place(*(found[name] or "" for name in ("group", "namespace", "kind", "name", "part")))


def resources(version: str, hidden: str = "") -> list[dict[str, object]] | None:
    """What discovery says of an API such as ``batch/v1``; None where there is no such API."""
    if version not in KINDS or (hidden and version.startswith(hidden)):
        return None
    return [
        {"name": name, "kind": kind, "namespaced": kind not in CLUSTER_WIDE}
        for kind, name in KINDS[version].items()
    ]
