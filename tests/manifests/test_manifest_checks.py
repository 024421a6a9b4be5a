"""The checks can fail: each is shown something broken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from manifest_checks import budget, network, pod_security, references, rights, schemas, values
from manifest_checks.pods import Pod, of_search, step, worker, workloads
from manifest_checks.rendering import Object, find

from pipelines.profile import ClusterProfile
from pipelines.profile_reading import read_profile

Rendered = Callable[[str], list[Object]]


def put(each: Any, path: str, value: Any) -> None:
    """Set the field at a dotted path; numbers are places in lists."""
    *way, last = path.split(".")
    for part in way:
        each = each[int(part)] if part.isdecimal() else each[part]
    if isinstance(each, list):
        each[int(last)] = value
    else:
        each[last] = value


CONTAINER = "spec.template.spec.containers.0"


@pytest.mark.parametrize(
    ("kind", "name", "path", "value"),
    [
        ("NetworkPolicy", "evoptim-deny-all", "spec.policyTypes.1", "egress"),
        ("NetworkPolicy", "evoptim-dns", "spec.egress.0.ports.0.protocol", "udp"),
        ("NetworkPolicy", "evoptim-argo", "spec.podSelector.matchExpressions.0.operator", "Has"),
        ("PriorityClass", "evoptim-worker", "preemptionPolicy", "PreemptNever"),
        ("PersistentVolumeClaim", "evoptim-s3", "spec.accessModes.0", "ReadWriteTwice"),
        ("Deployment", "evoptim-s3", f"{CONTAINER}.imagePullPolicy", "IfMissing"),
        ("Deployment", "evoptim-s3", "spec.strategy.type", "Replace"),
        ("Deployment", "evoptim-s3", "spec.template.spec.securityContext.seccompProfile.type", "D"),
        ("Service", "evoptim-s3", "spec.type", "ClusterIp"),
        ("LimitRange", "evoptim", "spec.limits.0.type", "Containers"),
        ("RoleBinding", "evoptim-search", "subjects.0.kind", "Account"),
        ("Role", "evoptim-search", "rules.0.verbs.0", "creates"),
        # An enumeration that nobody has put into the table.
        ("Deployment", "evoptim-s3", "spec.template.spec.nodePolicy", "Honor"),
    ],
)
def test_a_broken_enumeration(
    rendered: Rendered, kind: str, name: str, path: str, value: str
) -> None:
    things = rendered("local")
    put(find(things, kind, name), path, value)
    (problem,) = values.enum_problems(things)
    assert f"{kind}/{name}" in problem
    assert repr(value) in problem


def test_a_broken_enumeration_of_kueue(rendered: Rendered) -> None:
    things = rendered("kueue")
    put(find(things, "ClusterQueue", "evoptim"), "spec.queueingStrategy", "FIFO")
    (problem,) = values.enum_problems(things)
    assert "queueingStrategy" in problem


@pytest.mark.parametrize(
    ("kind", "name", "path", "value"),
    [
        ("ServiceAccount", "evoptim-worker", "automount", False),
        ("Deployment", "evoptim-s3", "spec.replicas", "one"),
        ("NetworkPolicy", "evoptim-dns", "spec.egress.0.port", 53),
        ("PriorityClass", "evoptim-worker", "apiVersion", "scheduling.k8s.io/v2"),
    ],
)
def test_a_broken_schema(rendered: Rendered, kind: str, name: str, path: str, value: Any) -> None:
    things = rendered("local")
    put(find(things, kind, name), path, value)
    (problem,) = schemas.kubernetes_problems(things)
    assert f"{kind}/{name}" in problem


@schemas.needs_schemas
@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("ClusterQueue", "spec.cohort", "all"),
        ("ClusterQueue", "spec.queueingStrategy", "FIFO"),
        ("ClusterQueue", "spec.resourceGroups.0.flavors.0.quota", "1"),
        ("ClusterQueue", "apiVersion", "kueue.x-k8s.io/v1beta1"),
        ("LocalQueue", "spec.queue", "evoptim"),
        ("LocalQueue", "spec.clusterQueue", "Not A Name"),
    ],
)
def test_a_broken_object_of_kueue(rendered: Rendered, kind: str, path: str, value: Any) -> None:
    things = rendered("kueue")
    put(find(things, kind, "evoptim"), path, value)
    problems = schemas.kueue_problems(things)
    assert len(problems) == 1
    assert f"{kind}/evoptim" in problems[0]


@pytest.mark.parametrize(
    ("kind", "name", "path", "value", "said"),
    [
        ("ServiceAccount", "evoptim-worker", "metadata.name", "evoptim_worker", "not a name"),
        ("Namespace", "evoptim", "metadata.labels", {"a/b/c": "d"}, "no key"),
        ("Namespace", "evoptim", "metadata.labels", {"a": "-"}, "no value"),
        ("ResourceQuota", "evoptim", "spec.hard.pods", 200, "quote it"),
        ("LimitRange", "evoptim", "spec.limits.0.max.memory", "1GB", "no quantity"),
        ("Service", "evoptim-s3", "spec.ports.0.port", 83333, "no port"),
    ],
)
def test_a_broken_name(
    rendered: Rendered, kind: str, name: str, path: str, value: Any, said: str
) -> None:
    things = rendered("local")
    put(find(things, kind, name), path, value)
    (problem,) = values.name_problems(things)
    assert said in problem


def test_an_object_that_is_there_twice(rendered: Rendered) -> None:
    things = rendered("local")
    (problem,) = values.name_problems([*things, find(things, "Service", "evoptim-s3")])
    assert "twice" in problem


@pytest.mark.parametrize(
    ("kind", "name", "path", "value", "said"),
    [
        ("Secret", "evoptim-s3", "data", {}, "no Secret 'evoptim-s3' with 'AWS_ACCESS_KEY_ID'"),
        ("ConfigMap", "evoptim-store", "metadata.name", "store", "no ConfigMap 'evoptim-store'"),
        ("ServiceAccount", "evoptim-worker", "metadata.name", "w", "no ServiceAccount"),
        ("PriorityClass", "evoptim-search", "metadata.name", "p", "no PriorityClass"),
        ("PersistentVolumeClaim", "evoptim-s3", "metadata.name", "c", "no PersistentVolumeClaim"),
        ("Role", "evoptim-executor", "metadata.name", "r", "no Role 'evoptim-executor'"),
        ("RoleBinding", "evoptim-search", "subjects.0.name", "s", "no ServiceAccount 's'"),
        (
            "RoleBinding",
            "evoptim-search",
            "subjects.0.namespace",
            "default",
            "subject in 'default'",
        ),
        ("RoleBinding", "evoptim-search", "metadata.namespace", "default", "lies in 'default'"),
        ("PriorityClass", "evoptim-search", "metadata.namespace", "evoptim", "to no namespace"),
        ("Service", "evoptim-s3", "spec.selector", {"a": "b"}, "selects no pod"),
        ("Service", "evoptim-s3", "spec.ports.0.targetPort", "http", "no port 'http'"),
        ("Service", "evoptim-s3", "spec.ports.0.port", 9000, "no Service at"),
        ("Deployment", "evoptim-s3", f"{CONTAINER}.ports.0.containerPort", 9000, "no port 8333"),
        ("Deployment", "evoptim-s3", f"{CONTAINER}.livenessProbe.httpGet.port", "x", "asks port"),
        ("Deployment", "evoptim-s3", f"{CONTAINER}.volumeMounts.0.name", "x", "no volume 'x'"),
        ("Deployment", "evoptim-s3", "spec.selector.matchLabels", {"a": "b"}, "its own pods"),
        ("NetworkPolicy", "evoptim-s3", "spec.podSelector.matchLabels", {"a": "b"}, "selects no"),
        ("NetworkPolicy", "evoptim-s3-server", "spec.ingress.0.ports.0.port", 9000, "port 9000"),
        ("NetworkPolicy", "evoptim-s3", "spec.egress.0.ports.0.port", 9000, "no port 9000"),
        (
            "NetworkPolicy",
            "evoptim-s3",
            "spec.egress.0.to.0.podSelector.matchLabels",
            {"a": "b"},
            "reach none",
        ),
        (
            "Secret",
            "evoptim-executor.service-account-token",
            "metadata.annotations",
            {"kubernetes.io/service-account.name": "e"},
            "no ServiceAccount 'e'",
        ),
    ],
)
def test_a_dangling_reference(
    rendered: Rendered, kind: str, name: str, path: str, value: Any, said: str
) -> None:
    things = rendered("local")
    put(find(things, kind, name), path, value)
    problems = references.problems(things, of_search(ClusterProfile()), "evoptim")
    assert any(said in each for each in problems), problems


@pytest.mark.parametrize(
    ("kind", "name", "path", "value", "said"),
    [
        ("LocalQueue", "evoptim", "spec.clusterQueue", "q", "no ClusterQueue 'q'"),
        ("LocalQueue", "evoptim", "metadata.name", "q", "no LocalQueue 'evoptim'"),
        ("ResourceFlavor", "evoptim-gpu", "metadata.name", "f", "no ResourceFlavor"),
        ("WorkloadPriorityClass", "evoptim-worker", "metadata.name", "p", "WorkloadPriorityClass"),
        (
            "ClusterQueue",
            "evoptim",
            "spec.namespaceSelector.matchLabels",
            {"kubernetes.io/metadata.name": "other"},
            "takes nothing",
        ),
        ("ClusterQueue", "evoptim", "spec.resourceGroups.0.coveredResources.0", "c", "covered"),
    ],
)
def test_a_dangling_reference_of_kueue(
    rendered: Rendered, kind: str, name: str, path: str, value: Any, said: str
) -> None:
    things = rendered("kueue")
    put(find(things, kind, name), path, value)
    profile = read_profile("queue: {name: evoptim, priority_class: evoptim-worker}")
    problems = references.problems(things, of_search(profile), "evoptim")
    assert any(said in each for each in problems), problems


@pytest.mark.parametrize("field", ["verbs", "resources", "apiGroups"])
def test_a_wildcard(rendered: Rendered, field: str) -> None:
    things = rendered("local")
    put(find(things, "Role", "evoptim-search"), f"rules.1.{field}.0", "*")
    assert rights.wildcard_problems(things) == ["Role/evoptim-search: a wildcard"]


def test_rights_of_the_whole_cluster(rendered: Rendered) -> None:
    role = {"kind": "ClusterRole", "metadata": {"name": "all"}, "rules": []}
    (problem,) = rights.wildcard_problems([*rendered("local"), role])
    assert "beyond the namespace" in problem


def test_one_verb_more_is_seen(rendered: Rendered) -> None:
    things = rendered("argo-only")
    before = rights.rights_of(things, "evoptim-search")
    find(things, "Role", "evoptim-search")["rules"][1]["verbs"].append("delete")
    assert rights.rights_of(things, "evoptim-search") - before == {("pods", "*", "delete")}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("hostNetwork", True),
        ("hostPID", True),
        ("hostIPC", True),
        ("volumes.0", {"name": "data", "hostPath": {"path": "/"}}),
        ("securityContext.runAsUser", 0),
        ("securityContext.runAsNonRoot", False),
        ("securityContext.seccompProfile.type", "Unconfined"),
        ("securityContext.seLinuxOptions", {"type": "spc_t"}),
        ("securityContext.sysctls", [{"name": "kernel.msgmax", "value": "1"}]),
        ("securityContext.appArmorProfile", {"type": "Unconfined"}),
        ("securityContext.windowsOptions", {"hostProcess": True}),
        ("containers.0.securityContext.privileged", True),
        ("containers.0.securityContext.allowPrivilegeEscalation", True),
        ("containers.0.securityContext.runAsUser", 0),
        ("containers.0.securityContext.runAsNonRoot", False),
        ("containers.0.securityContext.procMount", "Unmasked"),
        ("containers.0.securityContext.capabilities.drop", ["KILL"]),
        ("containers.0.securityContext.capabilities.add", ["SYS_ADMIN"]),
        ("containers.0.ports.0.hostPort", 8333),
        ("containers.0.livenessProbe.httpGet.host", "example.com"),
    ],
)
def test_a_pod_that_is_not_restricted(rendered: Rendered, path: str, value: Any) -> None:
    (server,) = workloads(rendered("local"))
    assert pod_security.problems(server) == []
    put(server.spec, path, value)
    assert len(pod_security.problems(server)) == 1


def test_a_pod_without_security_context() -> None:
    found = pod_security.problems(Pod("it", {}, {"containers": [{"name": "main"}]}))
    assert [each.rpartition(": ")[2] for each in found] == [
        "may gain privileges",
        "may run as root",
        "has no seccomp profile",
        "keeps capabilities",
    ]


def test_an_open_network_is_seen(rendered: Rendered) -> None:
    things, pod = rendered("gpu"), worker(ClusterProfile())
    assert not network.may_reach_address(things, pod, "10.96.0.1", 443)
    policy = find(things, "NetworkPolicy", "evoptim-s3")
    policy["spec"]["egress"][0]["to"][0]["ipBlock"]["except"] = []
    assert network.may_reach_address(things, pod, "10.96.0.1", 443)
    # Where no policy selects a pod it may go anywhere.
    others = [each for each in things if each["kind"] != "NetworkPolicy"]
    assert network.may_reach_address(others, pod, "10.96.0.1", 6443)
    assert network.may_be_reached(others, pod, {}, 22)


@pytest.mark.parametrize(
    ("name", "quantity"),
    [("pods", "20"), ("limits.cpu", "8"), ("requests.memory", "16Gi"), ("count/jobs.batch", "0")],
)
def test_a_quota_that_is_too_small(rendered: Rendered, name: str, quantity: str) -> None:
    things = rendered("gpu")
    put(find(things, "ResourceQuota", "evoptim")["spec"]["hard"], "pods", "200")
    find(things, "ResourceQuota", "evoptim")["spec"]["hard"][name] = quantity
    (problem,) = budget.quota_problems(things, ClusterProfile())
    assert f" {name} is {quantity}" in problem


def test_gpus_without_the_overlay_for_them(rendered: Rendered) -> None:
    profile = read_profile("workers: {resources: {gpu: 1}}")
    (problem,) = budget.quota_problems(rendered("argo-only"), profile)
    assert "requests.nvidia.com/gpu is 0, a search takes 8" in problem


def test_a_queue_that_is_too_small(rendered: Rendered) -> None:
    profile = read_profile("parallelism: 9\nworkers: {resources: {gpu: 1}}")
    assert budget.queue_problems(rendered("kueue"), profile) == [
        "ClusterQueue/evoptim: no flavor has room"
    ]


def test_limits_out_of_range(rendered: Rendered) -> None:
    things = rendered("local")
    put(
        find(things, "PersistentVolumeClaim", "evoptim-s3"), "spec.resources.requests.storage", "1M"
    )
    put(find(things, "LimitRange", "evoptim"), "spec.limits.0.min.memory", "65Mi")
    large = read_profile("steps: {resources: {limits: {memory: 1Ti}}}")
    silent = Pod("a silent pod", {}, {"containers": [{"name": "main"}]})
    assert budget.limit_problems(things, [step(large), silent]) == [
        "a step: limits.memory of 1Ti is out of range",
        "a silent pod: no requests.cpu",
        "a silent pod: no requests.memory",
        "a silent pod: no limits.cpu",
        "a silent pod: no limits.memory",
        "a driver of KFP: requests.memory of 64Mi is out of range",
        "PersistentVolumeClaim/evoptim-s3: 1M is out of range",
    ]
