"""Where pods may go: network policies as a cluster evaluates them."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from manifest_checks.pods import Pod
from manifest_checks.references import matches
from manifest_checks.rendering import Object, of_kind


def may_reach_address(
    things: list[Object], pod: Pod, address: str, port: int, protocol: str = "TCP"
) -> bool:
    """Whether the policies let the pod go to an address outside all pods."""
    return any(
        _contains(peer["ipBlock"], address)
        for rule in _rules(things, pod, "Egress", "egress")
        if _has_port(rule, port, protocol)
        for peer in rule.get("to", [{"ipBlock": {"cidr": "0.0.0.0/0"}}])
        if "ipBlock" in peer
    )


def may_reach_pod(
    things: list[Object],
    pod: Pod,
    labels: dict[str, str],
    port: int,
    namespace: str | None = None,
    protocol: str = "TCP",
) -> bool:
    """Whether they let it out to a pod with these labels, of another namespace if one is named."""
    return any(
        _is_meant(peer, labels, namespace)
        for rule in _rules(things, pod, "Egress", "egress")
        if _has_port(rule, port, protocol)
        for peer in rule.get("to", [{"podSelector": {}}])
    )


def may_be_reached(
    things: list[Object], pod: Pod, labels: dict[str, str], port: int, namespace: str | None = None
) -> bool:
    """Whether they let a pod with these labels in to this one."""
    return any(
        _is_meant(peer, labels, namespace)
        for rule in _rules(things, pod, "Ingress", "ingress")
        if _has_port(rule, port, "TCP")
        for peer in rule.get("from", [{"podSelector": {}}])
    )


def _rules(things: list[Object], pod: Pod, direction: str, field: str) -> list[Object]:
    policies = [
        each["spec"]
        for each in of_kind(things, "NetworkPolicy")
        if matches(each["spec"]["podSelector"], pod.labels)
        and direction in each["spec"]["policyTypes"]
    ]
    # A pod that no policy selects may go anywhere.
    return [rule for spec in policies for rule in spec.get(field, ())] if policies else [{}]


def _has_port(rule: Object, port: int, protocol: str) -> bool:
    ports = rule.get("ports")
    return ports is None or any(
        (each.get("port"), each.get("protocol", "TCP")) == (port, protocol) for each in ports
    )


def _contains(block: Object, address: str) -> bool:
    where = ip_address(address)

    def holds(network: str) -> bool:
        return where in ip_network(network)

    return holds(block["cidr"]) and not any(map(holds, block.get("except", ())))


def _is_meant(peer: Object, labels: dict[str, str], namespace: str | None) -> bool:
    if "ipBlock" in peer:
        return False
    selector = peer.get("namespaceSelector")
    if selector is None:
        in_place = namespace is None
    else:
        in_place = matches(selector, {"kubernetes.io/metadata.name": namespace or ""})
    return in_place and matches(peer.get("podSelector", {}), labels)
