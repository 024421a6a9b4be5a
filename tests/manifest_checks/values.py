"""What schemas leave open: the values of enumerations, names, labels, quantities, ports."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from manifest_checks.rendering import Object, name_of

_PROTOCOLS = {"TCP", "UDP", "SCTP"}
_EFFECTS = {"NoSchedule", "PreferNoSchedule", "NoExecute"}
_OPERATORS = {"In", "NotIn", "Exists", "DoesNotExist"}

# Fields by the end of their path, from the reference of the Kubernetes API and from Kueue's.
# "*" is any place in a list.
ENUMS: dict[tuple[str, str], set[str]] = {
    ("*", "imagePullPolicy"): {"Always", "IfNotPresent", "Never"},
    ("*", "restartPolicy"): {"Always", "OnFailure", "Never"},
    ("*", "terminationMessagePolicy"): {"File", "FallbackToLogsOnError"},
    ("*", "dnsPolicy"): {"ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"},
    ("*", "seccompProfile.type"): {"RuntimeDefault", "Localhost", "Unconfined"},
    ("*", "fsGroupChangePolicy"): {"OnRootMismatch", "Always"},
    ("*", "supplementalGroupsPolicy"): {"Merge", "Strict"},
    ("*", "mountPropagation"): {"None", "HostToContainer", "Bidirectional"},
    ("*", "emptyDir.medium"): {"", "Memory"},
    ("*", "httpGet.scheme"): {"HTTP", "HTTPS"},
    ("*", "protocol"): _PROTOCOLS,
    ("*", "matchExpressions.*.operator"): _OPERATORS,
    ("*", "tolerations.*.operator"): {"Equal", "Exists"},
    ("*", "tolerations.*.effect"): _EFFECTS,
    ("*", "nodeTaints.*.effect"): _EFFECTS,
    ("NetworkPolicy", "spec.policyTypes.*"): {"Ingress", "Egress"},
    ("Deployment", "spec.strategy.type"): {"Recreate", "RollingUpdate"},
    ("Service", "spec.type"): {"ClusterIP", "NodePort", "LoadBalancer", "ExternalName"},
    ("Service", "spec.sessionAffinity"): {"None", "ClientIP"},
    ("Service", "spec.internalTrafficPolicy"): {"Cluster", "Local"},
    ("Service", "spec.ipFamilyPolicy"): {"SingleStack", "PreferDualStack", "RequireDualStack"},
    ("PersistentVolumeClaim", "spec.accessModes.*"): {
        "ReadWriteOnce",
        "ReadOnlyMany",
        "ReadWriteMany",
        "ReadWriteOncePod",
    },
    ("PersistentVolumeClaim", "spec.volumeMode"): {"Filesystem", "Block"},
    ("PriorityClass", "preemptionPolicy"): {"Never", "PreemptLowerPriority"},
    ("LimitRange", "spec.limits.*.type"): {"Container", "Pod", "PersistentVolumeClaim"},
    ("ResourceQuota", "spec.scopes.*"): {
        "Terminating",
        "NotTerminating",
        "BestEffort",
        "NotBestEffort",
        "PriorityClass",
        "CrossNamespacePodAffinity",
    },
    ("RoleBinding", "roleRef.kind"): {"Role", "ClusterRole"},
    ("RoleBinding", "roleRef.apiGroup"): {"rbac.authorization.k8s.io"},
    ("RoleBinding", "subjects.*.kind"): {"ServiceAccount", "User", "Group"},
    ("Role", "rules.*.verbs.*"): {
        "create",
        "get",
        "list",
        "watch",
        "update",
        "patch",
        "delete",
        "deletecollection",
    },
    ("Secret", "type"): {
        "Opaque",
        "kubernetes.io/service-account-token",
        "kubernetes.io/dockerconfigjson",
        "kubernetes.io/tls",
    },
    ("ClusterQueue", "spec.queueingStrategy"): {"StrictFIFO", "BestEffortFIFO"},
    ("ClusterQueue", "spec.stopPolicy"): {"None", "Hold", "HoldAndDrain"},
    ("LocalQueue", "spec.stopPolicy"): {"None", "Hold", "HoldAndDrain"},
    ("ClusterQueue", "spec.preemption.withinClusterQueue"): {
        "Never",
        "LowerPriority",
        "LowerOrNewerEqualPriority",
    },
    ("ClusterQueue", "spec.preemption.reclaimWithinCohort"): {"Never", "LowerPriority", "Any"},
    ("ClusterQueue", "spec.flavorFungibility.whenCanBorrow"): {"MayStopSearch", "TryNextFlavor"},
    ("ClusterQueue", "spec.flavorFungibility.whenCanPreempt"): {"MayStopSearch", "TryNextFlavor"},
}

# Free text that looks like an enumeration: a value in capitals under a name that is not listed here
# must be in the table, so that the table stays complete.
_FREE = re.compile(
    r"(^|\.)(kind|name|value|key|description|args\.\*|command\.\*|image|cidr|except\.\*|storage"
    r"|memory|cpu|values\.\*)$|capabilities\.(drop|add)\.\*$|^data\.|^metadata\.|\.matchLabels\.|^spec\.hard\."
    r"|\.(requests|limits|min|max|default|defaultRequest)\."
)
_LOOKS_LIKE_ENUM = re.compile(r"[A-Z][A-Za-z]*")

_SUBDOMAIN = re.compile(
    r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
)
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LABEL_KEY = re.compile(
    r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|[kMGTPE]|[KMGTPE]i)?")
_PORT_NAME = re.compile(r"(?=.{1,15}$)(?=.*[a-z])[a-z0-9]([-a-z0-9]*[a-z0-9])?")

_LABELS = {"labels", "matchLabels", "nodeLabels", "nodeSelector"}
# A Service selects by labels at once, others by these.
_SELECTOR = {"matchLabels", "matchExpressions"}

# Kinds whose name is one label, not several with dots.
_ONE_LABEL = {"Namespace", "Service"}


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every single value with its path; places in lists are ``*``."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from leaves(each, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list):
        for each in value:
            yield from leaves(each, f"{path}.*" if path else "*")
    else:
        yield path, value


def allowed(kind: str, path: str) -> set[str] | None:
    """The values that the field may have; None where it is no enumeration."""
    for (of, end), values in ENUMS.items():
        if of in ("*", kind) and (path == end or path.endswith(f".{end}")):
            return values
    return None


def enum_problems(things: list[Object]) -> list[str]:
    """Values that an enumeration does not have, and enumerations that the table does not have."""
    problems = []
    for each in things:
        for path, value in leaves(each):
            values = allowed(each["kind"], path)
            if values is not None:
                if value not in values:
                    problems.append(f"{name_of(each)}: {path} is {value!r}, not of {values}")
            elif (
                isinstance(value, str)
                and _LOOKS_LIKE_ENUM.fullmatch(value)
                and not _FREE.search(path)
            ):
                problems.append(f"{name_of(each)}: {path} is {value!r}: is it an enumeration?")
    return problems


def name_problems(things: list[Object]) -> list[str]:
    """Names, labels, quantities and ports that the API server refuses."""
    problems = []
    for each in things:
        pattern = _LABEL if each["kind"] in _ONE_LABEL else _SUBDOMAIN
        if not pattern.fullmatch(each["metadata"]["name"]):
            problems.append(f"{name_of(each)}: not a name")
        problems.extend(f"{name_of(each)}: {text}" for text in _text_problems(each))
    keys = [
        (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"])
        for each in things
    ]
    problems.extend(
        f"{key} is there twice"
        for key in sorted(set(map(str, keys)))
        if list(map(str, keys)).count(key) > 1
    )
    return problems


def _text_problems(each: Object) -> Iterator[str]:
    for path, labels in _mappings(each):
        for key, value in labels.items():
            if not _LABEL_KEY.fullmatch(key):
                yield f"{path}: {key!r} is no key of a label"
            if not isinstance(value, str) or not _LABEL_VALUE.fullmatch(value):
                yield f"{path}.{key}: {value!r} is no value of a label"
    for path, value in leaves(each):
        field = path.rpartition(".")[2]
        quantities = r"\.(requests|limits|hard|min|max|default|defaultRequest)\.(?!\*)"
        if re.search(quantities, path) or field in ("nominalQuota", "sizeLimit"):
            if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
                yield f"{path}: {value!r} is no quantity; quote it"
        elif field in ("port", "containerPort", "targetPort") and not _is_port(value):
            yield f"{path}: {value!r} is no port"


def _is_port(value: Any) -> bool:
    if isinstance(value, str):
        return _PORT_NAME.fullmatch(value) is not None
    return isinstance(value, int) and 0 < value < 65536


def _mappings(value: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every mapping of labels with its path."""
    if isinstance(value, list):
        for each in value:
            yield from _mappings(each, path)
    elif isinstance(value, dict):
        for name, each in value.items():
            here = f"{path}.{name}" if path else str(name)
            if name in _LABELS or (here == "spec.selector" and not _SELECTOR & each.keys()):
                yield here, each
            else:
                yield from _mappings(each, here)
