"""Whether there is room for the pods: quota, limits of the namespace, nodes."""

from collections.abc import Iterator, Mapping
from decimal import Decimal

from pipelines.doctor.finding import Finding
from pipelines.kubernetes_api import Cluster, Object
from pipelines.profile import ClusterProfile, NodeExpression, PodProfile, Role
from pipelines.quantity import amount

Amounts = dict[str, Decimal]

_WORDS: dict[Role, str] = {"worker": "training pod", "search": "step"}


def check_quota(cluster: Cluster, profile: ClusterProfile) -> Iterator[Finding]:
    """Whether the ResourceQuotas allow a step and the training pods."""
    path = f"/api/v1/namespaces/{profile.namespace}/resourcequotas"
    quotas = cluster.request("GET", path).get("items") or ()
    least, all_at_once = _needed(profile, 1), _needed(profile, profile.parallelism)
    for quota in quotas:
        yield _quota_finding(quota, least, all_at_once, profile.parallelism)
    if not quotas:
        yield Finding("quota", "ok", f"{profile.namespace} has none")


def _needed(profile: ClusterProfile, workers: int) -> Amounts:
    """What so many training pods and one step take, by the names that quotas use."""
    total: Amounts = {"pods": Decimal(workers + 1), "count/pods": Decimal(workers + 1)}
    for count, pods in ((workers, profile.workers), (1, profile.steps)):
        for name, each in _amounts(pods).items():
            total[name] = total.get(name, Decimal(0)) + count * each
    return total


def _amounts(pods: PodProfile) -> Amounts:
    of = pods.resources
    named = {
        "requests.cpu": amount(of.requests.cpu),
        "requests.memory": amount(of.requests.memory),
        "limits.cpu": amount(of.limits.cpu),
        "limits.memory": amount(of.limits.memory),
        f"requests.{of.gpu_resource}": Decimal(of.gpu),
    }
    return {**named, "cpu": named["requests.cpu"], "memory": named["requests.memory"]}


def _quota_finding(quota: Object, least: Amounts, all_at_once: Amounts, workers: int) -> Finding:
    name = quota["metadata"]["name"]
    hard = _parsed((quota.get("spec") or {}).get("hard") or {})
    used = _parsed((quota.get("status") or {}).get("used") or {})

    def short(needed: Amounts, free: Amounts) -> list[str]:
        return [
            f"{key} (needs {needed[key].normalize():f} of {free[key].normalize():f})"
            for key in sorted(free.keys() & needed.keys())
            if needed[key] > free[key]
        ]

    free = {key: value - used.get(key, Decimal(0)) for key, value in hard.items()}
    raise_it = "raise the quota, or ask for less in the profile"
    if lacks := short(least, hard):
        told = f"{name} has no room for one training pod and one step: {', '.join(lacks)}"
        return Finding("quota", "failed", told, raise_it)
    if lacks := short(all_at_once, hard):
        told = f"{name} is too small for {workers} training pods at once: {', '.join(lacks)}"
        return Finding("quota", "warning", told, "raise it, or lower the profile's parallelism")
    if lacks := short(least, free):
        told = f"{name} is used up: {', '.join(lacks)}"
        return Finding("quota", "warning", told, "pods wait until others end, or raise the quota")
    return Finding("quota", "ok", f"{name} has room for {workers} training pods and a step")


def check_limits(cluster: Cluster, profile: ClusterProfile) -> Iterator[Finding]:
    """Whether the LimitRanges allow such containers."""
    path = f"/api/v1/namespaces/{profile.namespace}/limitranges"
    for each in cluster.request("GET", path).get("items") or ():
        for limit in (each.get("spec") or {}).get("limits") or ():
            if limit.get("type") == "Container":
                yield from _limit_findings(each["metadata"]["name"], limit, profile)


def _limit_findings(name: str, limit: Object, profile: ClusterProfile) -> Iterator[Finding]:
    most, least = _parsed(limit.get("max") or {}), _parsed(limit.get("min") or {})
    roles: tuple[Role, Role] = ("worker", "search")
    for role in roles:
        has = _amounts(profile.pods(role))
        for key in ("cpu", "memory"):
            high, low = has[f"limits.{key}"], has[f"requests.{key}"]
            if key in most and high > most[key]:
                told = f"a {_WORDS[role]} takes {high:f} {key}, {name} allows {most[key]:f}"
                yield Finding("limits", "failed", told, "lower it in the profile, or raise the max")
            if key in least and low < least[key]:
                told = f"a {_WORDS[role]} asks for {low:f} {key}, {name} demands {least[key]:f}"
                yield Finding("limits", "failed", told, "raise it in the profile")


def check_nodes(cluster: Cluster, profile: ClusterProfile) -> Iterator[Finding]:
    """Whether nodes can take such pods, GPUs included."""
    nodes = cluster.request("GET", "/api/v1/nodes").get("items") or ()
    gpu = profile.workers.resources.gpu_resource
    if profile.workers.resources.gpu:
        offered = sum((_allocatable(node).get(gpu, Decimal(0)) for node in nodes), Decimal(0))
        if not offered:
            yield Finding(
                "GPUs",
                "failed",
                f"no node offers {gpu}",
                "install the device plugin of your GPUs; where an autoscaler adds such nodes on "
                "demand, this need not be",
            )
        else:
            yield Finding("GPUs", "ok", f"the nodes offer {offered:f} {gpu}")
    roles: tuple[Role, Role] = ("worker", "search")
    for role in roles:
        yield _nodes_finding(nodes, profile, role)


def _nodes_finding(nodes: list[Object] | tuple[()], profile: ClusterProfile, role: Role) -> Finding:
    pods = profile.pods(role)
    # Kueue adds the selector and the tolerations of the flavor that it chooses.
    queued = profile.queue is not None and role == "worker"
    reasons: dict[str, int] = {}
    fit = 0
    for node in nodes:
        reason = _misfit(node, pods, queued)
        if reason is None:
            fit += 1
        else:
            reasons[reason] = reasons.get(reason, 0) + 1
    if fit:
        return Finding("nodes", "ok", f"{fit} of {len(nodes)} nodes can take a {_WORDS[role]}")
    told = ", ".join(f"{count} × {reason}" for reason, count in sorted(reasons.items()))
    return Finding(
        "nodes",
        "failed",
        f"none of {len(nodes)} nodes can take a {_WORDS[role]} ({told or 'there is none'})",
        "correct the profile's node_selector, node_affinity, tolerations or resources; where an "
        "autoscaler adds such nodes on demand, this need not be",
    )


def _misfit(node: Object, pods: PodProfile, queued: bool) -> str | None:
    """Why a node cannot take such a pod even when it is empty, or None."""
    conditions = (node.get("status") or {}).get("conditions") or ()
    ready = [each.get("status") for each in conditions if each.get("type") == "Ready"]
    if ready and ready[0] != "True":
        return "not ready"
    spec = node.get("spec") or {}
    if spec.get("unschedulable"):
        return "cordoned"
    labels = node["metadata"].get("labels") or {}
    if not queued:
        for key, value in pods.node_selector.items():
            if labels.get(key) != value:
                return f"without the label {key}={value}"
        required = [term for term in pods.node_affinity if term.weight is None]
        if required and not any(
            all(_holds(each, labels) for each in term.expressions) for term in required
        ):
            return "outside the node affinity"
        for taint in spec.get("taints") or ():
            if taint.get("effect") != "PreferNoSchedule" and not _tolerated(taint, pods):
                return f"tainted {taint.get('key')}"
    offered = _allocatable(node)
    of = pods.resources
    needed = {"cpu": amount(of.requests.cpu), "memory": amount(of.requests.memory)}
    if of.gpu:
        needed[of.gpu_resource] = Decimal(of.gpu)
    for name, least in needed.items():
        if offered.get(name, Decimal(0)) < least:
            return f"too little {name}"
    return None


def _holds(expression: NodeExpression, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(expression.key), expression.values
    if expression.operator == "In":
        return value in values
    if expression.operator == "NotIn":
        return value not in values
    if expression.operator == "Exists":
        return value is not None
    if expression.operator == "DoesNotExist":
        return value is None
    if value is None or not value.isdecimal():
        return False
    number, bound = int(value), int(values[0])
    return number > bound if expression.operator == "Gt" else number < bound


def _tolerated(taint: Mapping[str, str], pods: PodProfile) -> bool:
    return any(
        (each.key is None or each.key == taint.get("key"))
        and (each.effect is None or each.effect == taint.get("effect"))
        and (each.operator == "Exists" or (each.value or "") == (taint.get("value") or ""))
        for each in pods.tolerations
    )


def _allocatable(node: Object) -> Amounts:
    return _parsed((node.get("status") or {}).get("allocatable") or {})


def _parsed(quantities: Mapping[str, object]) -> Amounts:
    """Quantities as numbers; what is written in a way that we do not read is left out."""
    found = {}
    for key, text in quantities.items():
        try:
            found[key] = amount(str(text))
        except ValueError:
            continue
    return found
