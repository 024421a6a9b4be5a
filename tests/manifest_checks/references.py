"""Whether what is named is there: accounts, secrets, ports, queues, pods that selectors mean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from manifest_checks.pods import Pod, workloads
from manifest_checks.rendering import Object, name_of, of_kind
from pipelines.doctor.access import SUBMITTER_ROLE
from pipelines.pod import QUEUE_LABEL, QUEUE_PRIORITY_LABEL

# Made by whoever installs where no overlay makes it: kubectl create secret generic evoptim-s3 ...
MADE_BY_USER = {
    ("Secret", "evoptim-s3"): {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
    }
}
CLUSTER_SCOPED = {
    "Namespace",
    "PriorityClass",
    "ClusterQueue",
    "ResourceFlavor",
    "WorkloadPriorityClass",
}


def problems(things: list[Object], searches: list[Pod], namespace: str) -> list[str]:
    """Every reference that leads nowhere."""
    found = _Found(things)
    pods = [*workloads(things), *searches]
    return [
        *_scopes(things, namespace),
        *(text for pod in pods for text in _of_pod(found, pod)),
        *_bindings(found, things, namespace),
        *_services(things),
        *_selectors(things),
        *_policies(things, pods),
        *_queues(found, things, namespace),
        *_tokens(found, things),
        *_endpoint(things, namespace),
    ]


class _Found:
    def __init__(self, things: list[Object]) -> None:
        self._keys: dict[tuple[str, str], set[str]] = dict(MADE_BY_USER)
        for each in things:
            data = {**(each.get("data") or {}), **(each.get("stringData") or {})}
            self._keys[each["kind"], each["metadata"]["name"]] = set(data)

    def missing(self, kind: str, name: str | None, key: str | None = None) -> bool:
        keys = self._keys.get((kind, name or ""))
        return keys is None or (key is not None and key not in keys)


def _scopes(things: list[Object], namespace: str) -> Iterator[str]:
    for each in things:
        lies = each["metadata"].get("namespace")
        if each["kind"] in CLUSTER_SCOPED:
            if lies is not None:
                yield f"{name_of(each)} belongs to no namespace, got {lies!r}"
        elif lies != namespace:
            yield f"{name_of(each)} lies in {lies!r}, not {namespace!r}"


def _of_pod(found: _Found, pod: Pod) -> Iterator[str]:
    spec = pod.spec
    if account := spec.get("serviceAccountName"):
        yield from _missing(found, pod, "ServiceAccount", account)
    if priority := spec.get("priorityClassName"):
        yield from _missing(found, pod, "PriorityClass", priority)
    if queue := pod.labels.get(QUEUE_LABEL):
        yield from _missing(found, pod, "LocalQueue", queue)
    if priority := pod.labels.get(QUEUE_PRIORITY_LABEL):
        yield from _missing(found, pod, "WorkloadPriorityClass", priority)
    volumes = {each["name"]: each for each in spec.get("volumes", ())}
    for volume in volumes.values():
        for source, field, kind in (
            ("secret", "secretName", "Secret"),
            ("configMap", "name", "ConfigMap"),
            ("persistentVolumeClaim", "claimName", "PersistentVolumeClaim"),
        ):
            if source in volume:
                yield from _missing(found, pod, kind, volume[source][field])
    for container in [*spec.get("initContainers", ()), *spec["containers"]]:
        for mount in container.get("volumeMounts", ()):
            if mount["name"] not in volumes:
                yield f"{pod.origin}: no volume {mount['name']!r}"
        for variable in container.get("env", ()):
            source = variable.get("valueFrom", {})
            for field, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
                if field in source and not source[field].get("optional"):
                    yield from _missing(
                        found, pod, kind, source[field]["name"], source[field]["key"]
                    )
                elif field in source:
                    # A key may be left out, the object is ours.
                    yield from _missing(found, pod, kind, source[field]["name"])
        ports = {each.get("name") for each in container.get("ports", ())}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            port = container.get(probe, {}).get("httpGet", {}).get("port")
            if isinstance(port, str) and port not in ports:
                yield f"{pod.origin}: {probe} asks port {port!r}, which no container has"


def _missing(
    found: _Found, pod: Pod, kind: str, name: str, key: str | None = None
) -> Iterator[str]:
    if found.missing(kind, name, key):
        yield f"{pod.origin}: no {kind} {name!r}" + ("" if key is None else f" with {key!r}")


def _bindings(found: _Found, things: list[Object], namespace: str) -> Iterator[str]:
    bound = set()
    for each in of_kind(things, "RoleBinding"):
        role = each["roleRef"]
        bound.add(role["name"])
        if found.missing(role["kind"], role["name"]):
            yield f"{name_of(each)}: no {role['kind']} {role['name']!r}"
        for subject in each["subjects"]:
            if subject["kind"] != "ServiceAccount":
                # Who users and groups are, only the cluster's login knows.
                continue
            if subject.get("namespace") != namespace:
                yield f"{name_of(each)}: subject in {subject.get('namespace')!r}"
            if found.missing(subject["kind"], subject["name"]):
                yield f"{name_of(each)}: no {subject['kind']} {subject['name']!r}"
    for each in of_kind(things, "Role"):
        # Who submits is for those who install it to say.
        if each["metadata"]["name"] not in {*bound, SUBMITTER_ROLE}:
            yield f"{name_of(each)}: bound to nobody"


def _services(things: list[Object]) -> Iterator[str]:
    pods = workloads(things)
    for each in of_kind(things, "Service"):
        selected = [pod for pod in pods if _holds(each["spec"]["selector"], pod.labels)]
        if not selected:
            yield f"{name_of(each)}: selects no pod"
        for port in each["spec"]["ports"]:
            target = port.get("targetPort", port["port"])
            for pod in selected:
                if target not in _ports(pod):
                    yield f"{name_of(each)}: {pod.origin} has no port {target!r}"


def _selectors(things: list[Object]) -> Iterator[str]:
    for each in of_kind(things, "Deployment", "StatefulSet"):
        spec = each["spec"]
        if not matches(spec["selector"], spec["template"]["metadata"]["labels"]):
            yield f"{name_of(each)}: its selector does not match its own pods"


def _policies(things: list[Object], pods: list[Pod]) -> Iterator[str]:
    for each in of_kind(things, "NetworkPolicy"):
        spec = each["spec"]
        selected = [pod for pod in pods if matches(spec["podSelector"], pod.labels)]
        if not selected:
            yield f"{name_of(each)}: selects no pod"
        for rule in spec.get("ingress", ()):
            for pod in selected:
                yield from _open(each, rule, pod)
        for rule in spec.get("egress", ()):
            for peer in rule.get("to", ()):
                if "podSelector" in peer and "namespaceSelector" not in peer:
                    meant = [pod for pod in pods if matches(peer["podSelector"], pod.labels)]
                    if not meant:
                        yield f"{name_of(each)}: lets pods reach none"
                    for pod in meant:
                        yield from _open(each, rule, pod)


def _open(policy: Object, rule: Object, pod: Pod) -> Iterator[str]:
    for port in rule.get("ports", ()):
        if port["port"] not in _ports(pod):
            yield f"{name_of(policy)}: {pod.origin} has no port {port['port']!r}"


def _queues(found: _Found, things: list[Object], namespace: str) -> Iterator[str]:
    for each in of_kind(things, "LocalQueue"):
        if found.missing("ClusterQueue", each["spec"]["clusterQueue"]):
            yield f"{name_of(each)}: no ClusterQueue {each['spec']['clusterQueue']!r}"
    for each in of_kind(things, "ClusterQueue"):
        named = {"kubernetes.io/metadata.name": namespace}
        if not matches(each["spec"].get("namespaceSelector", {}), named):
            yield f"{name_of(each)}: takes nothing from the namespace {namespace!r}"
        for group in each["spec"]["resourceGroups"]:
            for flavor in group["flavors"]:
                if found.missing("ResourceFlavor", flavor["name"]):
                    yield f"{name_of(each)}: no ResourceFlavor {flavor['name']!r}"
                if [one["name"] for one in flavor["resources"]] != group["coveredResources"]:
                    yield f"{name_of(each)}: {flavor['name']} has not the resources covered"


def _tokens(found: _Found, things: list[Object]) -> Iterator[str]:
    for each in of_kind(things, "Secret"):
        if each["type"] == "kubernetes.io/service-account-token":
            account = each["metadata"]["annotations"]["kubernetes.io/service-account.name"]
            if found.missing("ServiceAccount", account):
                yield f"{name_of(each)}: no ServiceAccount {account!r}"


def _endpoint(things: list[Object], namespace: str) -> Iterator[str]:
    services = {
        f"{each['metadata']['name']}.{namespace}.svc": {
            one["port"] for one in each["spec"]["ports"]
        }
        for each in of_kind(things, "Service")
    }
    for each in of_kind(things, "ConfigMap"):
        url = urlsplit(each["data"].get("AWS_ENDPOINT_URL", ""))
        host = url.hostname or ""
        if host.endswith(".svc") and url.port not in services.get(host, ()):
            yield f"{name_of(each)}: no Service at {url.netloc!r}"


def _ports(pod: Pod) -> set[Any]:
    return {
        value
        for container in pod.spec["containers"]
        for port in container.get("ports", ())
        for value in (port.get("name"), port["containerPort"])
    }


def _holds(wanted: dict[str, str], labels: dict[str, str]) -> bool:
    return wanted.items() <= labels.items()


def matches(selector: Object, labels: dict[str, str]) -> bool:
    """Whether a label selector means something with these labels."""
    return _holds(selector.get("matchLabels", {}), labels) and all(
        _expression(each, labels) for each in selector.get("matchExpressions", ())
    )


def _expression(each: Object, labels: dict[str, str]) -> bool:
    has = each["key"] in labels
    return {
        "Exists": has,
        "DoesNotExist": not has,
        "In": has and labels[each["key"]] in each.get("values", ()),
        "NotIn": not has or labels[each["key"]] not in each.get("values", ()),
    }[each["operator"]]
