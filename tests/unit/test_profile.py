"""The cluster profile: what is refused, and what is said to pods."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
import yaml

from evoptim.errors import InputError
from evoptim.store import Stage
from pipelines.pod import pod_template
from pipelines.profile import ClusterProfile
from pipelines.profile_reading import default_profile_text, profile_from_json, read_profile
from pipelines.quantity import amount

REFUSALS = [
    ("speed: 1", "speed: there is no such setting; choose among namespace, image"),
    (
        "workers: {tolerations: [{kye: gpu}]}",
        "workers.tolerations.0.kye: there is no such setting; choose among key, operator",
    ),
    ("workers: {resources: {requests: {cpu: 4}}}", "requests.cpu must not exceed limits.cpu"),
    ("workers: {resources: {requests: {cpu: two}}}", "requests.cpu: a quantity is a number"),
    ("workers: {resources: {requests: {cpu: 0}}}", "a quantity must be above 0, got '0'"),
    ("workers: {resources: {gpu: -1}}", "workers.resources.gpu: .* 0, got -1"),
    ("workers: {shared_memory: 4Gi}", "must stay below limits.memory, got 4Gi of 2Gi"),
    ("workers: {tolerations: [{key: a, operator: Exists, value: b}]}", "leave out the value"),
    ("workers: {tolerations: [{value: b}]}", "operator Equal needs a key"),
    ("workers: {tolerations: [{key: a, toleration_seconds: 3}]}", "effect NoExecute only"),
    ("workers: {node_affinity: [{expressions: []}]}", "at least 1 item"),
    ("workers: {node_affinity: [{expressions: [{key: a}]}]}", "takes at least one value"),
    (
        "workers: {node_affinity: [{expressions: [{key: a, operator: Gt, values: [b]}]}]}",
        "takes one whole number, got \\['b'\\]",
    ),
    (
        "workers: {node_affinity: [{expressions: [{key: a, operator: Exists, values: [b]}]}]}",
        "operator Exists takes no value",
    ),
    ("workers: {labels: {'a b': c}}", "a label's key is"),
    ("labels: {a: 'c d'}", "a label's value has"),
    ("environment: {literals: {AWS_SECRET_ACCESS_KEY: abc}}", "belongs into a Secret"),
    ("environment: {literals: {AWS_REGION: here}}", "AWS_REGION is given twice: leave one"),
    ("environment: {literals: {'1A': b}}", "an environment variable has letters"),
    ("mounts: [{kind: claim, name: images, path: /tmp/}]", "two volumes share the path /tmp"),
    ("mounts: [{kind: claim, name: images, path: data}]", "give an absolute path"),
    ("mounts: [{kind: disk, name: images, path: /data}]", "'claim', 'config_map' or 'secret'"),
    ("security: {run_as_user: 0}", "run_as_user 0 is root"),
    ("image: 'a b'", "give an image"),
    ("image: ''", "give an image"),
    ("image_pull_secrets: [a, a]", "'a' is there twice"),
    ("namespace: Evoptim", "lower-case letters"),
    ("parallelism: 0", "greater than or equal to 1, got 0"),
    ("candidates_per_task: 0", "greater than or equal to 1, got 0"),
    ("candidates_per_task: yes please", "valid integer, got 'yes please'"),
    ("max_failed_fraction: 1.5", "less than or equal to 1, got 1.5"),
    ("fan_out: wide", "'loop', 'job' or 'auto'"),
    ("job_ttl_seconds: 1", "greater than or equal to 600"),
    ("- a", "give settings as 'name: value' lines"),
    ("image: *a", "is no YAML that can be used"),
]


@pytest.mark.parametrize(("text", "message"), REFUSALS, ids=[each[0] for each in REFUSALS])
def test_what_cannot_be_is_refused_with_its_path(text: str, message: str) -> None:
    with pytest.raises(InputError, match=rf"profile.*{message}") as refusal:
        read_profile(text)
    assert "\n" not in str(refusal.value)


def test_the_printed_profile_is_the_default_one_with_every_setting() -> None:
    text = default_profile_text()
    assert read_profile(text) == ClusterProfile()
    written = yaml.safe_load(text)
    assert names(written) == names(ClusterProfile().settings())
    assert max(map(len, text.splitlines())) <= 100


def names(settings: Any, path: str = "") -> set[str]:
    if isinstance(settings, dict) and settings:
        return set().union(*(names(value, f"{path}.{key}") for key, value in settings.items()))
    if isinstance(settings, list):
        return set().union({path}, *(names(value, path) for value in settings))
    return {path}


def test_what_the_printed_profile_suggests_is_possible() -> None:
    suggestions = re.findall(
        r"(\w+): (?:\[\]|\{\}|null) +# (?:- )?(?:Kueue: )?([\[{].*[\]}])", default_profile_text()
    )
    assert len(suggestions) >= 6
    for name, text in suggestions:
        value = yaml.safe_load(text)
        listed = name in ("node_affinity", "tolerations", "mounts")
        pods = name in ("node_selector", "node_affinity", "tolerations")
        path = f"workers.{name}" if pods else f"environment.{name}" if name == "literals" else name
        read_profile(settings={path: [value] if listed else value})


def test_a_yaml_text_changes_the_default_and_lists_replace() -> None:
    profile = read_profile(
        "workers: {resources: {limits: {memory: 16Gi}, gpu: 1}}\n"
        "environment: {secrets: []}\nqueue: {name: gpus}"
    )
    assert profile.workers.resources.gpu == 1
    assert profile.workers.resources.requests.memory == "2Gi"
    assert profile.steps == ClusterProfile().steps
    assert profile.environment.secrets == ()
    assert profile.queue is not None
    assert (profile.queue.name, profile.queue.min_parallelism) == ("gpus", 1)
    assert read_profile("") == ClusterProfile()


def test_a_profile_survives_the_way_into_a_pod() -> None:
    profile = read_profile("workers: {tolerations: [{key: a, operator: Exists}]}\nimage: a/b:1")
    assert profile_from_json(profile.canonical_json()) == profile
    with pytest.raises(InputError, match="profile: Invalid JSON"):
        profile_from_json("{")


def test_a_training_pod_is_restricted_and_knows_where_it_may_write() -> None:
    template = pod_template(ClusterProfile(), "worker", ["x"], "first", Stage.generation(3))
    spec = template["spec"]
    (container,) = spec["containers"]
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert spec["automountServiceAccountToken"] is False
    assert template["metadata"]["labels"] == {
        "app.kubernetes.io/name": "evoptim",
        "app.kubernetes.io/component": "worker",
        "evoptim.dev/run": "first",
        "evoptim.dev/stage": "g003",
    }
    mounted = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
    values = {each["name"]: each.get("value") for each in container["env"]}
    assert mounted == {"/tmp": "temporary", "/cache": "cache", "/dev/shm": "shared-memory"}
    assert (values["HOME"], values["EVOPTIM_CACHE_DIR"]) == ("/tmp", "/cache")
    assert {each["name"] for each in spec["volumes"]} == set(mounted.values())


def test_a_gpu_pod_goes_where_the_profile_says() -> None:
    profile = read_profile(
        """
        image_pull_secrets: [registry]
        workers:
          priority_class: null
          resources: {gpu: 2, gpu_resource: amd.com/gpu}
          node_selector: {gpu: mi300}
          node_affinity:
            - {expressions: [{key: zone, values: [a, b]}]}
            - {expressions: [{key: spot, operator: DoesNotExist}], weight: 10}
          tolerations: [{key: gpu, operator: Exists, effect: NoSchedule}]
          annotations: {note: hello}
        mounts:
          - {kind: claim, name: images, path: /data, read_only: true}
          - {kind: config_map, name: ca, path: /etc/ca}
          - {kind: secret, name: aws, path: /aws}
        security: {run_as_user: 1000, fs_group: 2000, read_only_root: false}
        """
    )
    template = pod_template(profile, "worker", ["x"])
    spec = template["spec"]
    (container,) = spec["containers"]
    assert container["resources"]["limits"]["amd.com/gpu"] == "2"
    assert spec["nodeSelector"] == {"gpu": "mi300"}
    affinity = spec["affinity"]["nodeAffinity"]
    assert affinity["requiredDuringSchedulingIgnoredDuringExecution"] == {
        "nodeSelectorTerms": [
            {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a", "b"]}]}
        ]
    }
    assert affinity["preferredDuringSchedulingIgnoredDuringExecution"] == [
        {
            "weight": 10,
            "preference": {"matchExpressions": [{"key": "spot", "operator": "DoesNotExist"}]},
        }
    ]
    assert spec["tolerations"] == [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert "priorityClassName" not in spec
    assert template["metadata"]["annotations"] == {"note": "hello"}
    assert spec["securityContext"]["fsGroup"] == 2000
    assert [each for each in spec["volumes"] if each["name"].startswith("mount-")] == [
        {"name": "mount-0", "persistentVolumeClaim": {"claimName": "images", "readOnly": True}},
        {"name": "mount-1", "configMap": {"name": "ca"}},
        {"name": "mount-2", "secret": {"secretName": "aws"}},
    ]
    # What steps need is their own.
    step = pod_template(profile, "search", ["x"])["spec"]
    assert "nodeSelector" not in step
    assert step["automountServiceAccountToken"] is True


def test_literals_change_evoptims_own_variables() -> None:
    profile = read_profile(settings={"environment.literals": {"OMP_NUM_THREADS": "4", "A": "b"}})
    (container,) = pod_template(profile, "worker", [])["spec"]["containers"]
    names = [each["name"] for each in container["env"]]
    values = {each["name"]: each.get("value") for each in container["env"]}
    assert (values["OMP_NUM_THREADS"], values["MKL_NUM_THREADS"], values["A"]) == ("4", "1", "b")
    assert len(names) == len(set(names))


def test_evoptims_own_labels_cannot_be_changed() -> None:
    profile = read_profile(settings={"labels": {"app.kubernetes.io/component": "x", "team": "y"}})
    labels = pod_template(profile, "worker", [])["metadata"]["labels"]
    assert labels["app.kubernetes.io/component"] == "worker"
    assert labels["team"] == "y"


@pytest.mark.parametrize(
    ("text", "value"),
    [("500m", "0.5"), ("2", "2"), ("1.5", "1.5"), ("1Ki", "1024"), ("2G", "2000000000")],
)
def test_quantities(text: str, value: str) -> None:
    assert amount(text) == Decimal(value)
