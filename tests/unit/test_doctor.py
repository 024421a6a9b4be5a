"""The examination of a cluster: what is sound, and each thing that can be wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cluster_run import cluster_profile
from kubernetes_api.scripted_engines import FakeCluster, asked_for, fake_cluster
from fake_kfp import FakeKfp, fake_kfp
from s3_server import BUCKET, S3Server, serve_s3

from evoptim.errors import InputError
from evoptim.store.s3 import S3Store
from evoptim.verbs import diagnose
from pipelines import doctor as module
from pipelines.doctor import Finding
from pipelines.doctor import deep as deep_module
from pipelines.doctor.access import user_verbs
from pipelines.doctor.deep import VERBS as DEEP_VERBS
from pipelines.kubernetes_api import Patience
from pipelines.profile import ClusterProfile

NS = "/api/v1/namespaces/evoptim"
KUEUE = "/apis/kueue.x-k8s.io"
QUEUE = {"name": "evoptim", "priority_class": None, "min_parallelism": 1}


def node(name: str, **more: Any) -> dict[str, Any]:
    """A node that is ready, as large as given."""
    spec = more.pop("spec", {})
    labels = more.pop("labels", {})
    images = more.pop("images", [])
    allocatable = {"cpu": "8", "memory": "32145408Ki", "pods": "110", **more}
    ready = {"type": "Ready", "status": "True"}
    status = {"allocatable": allocatable, "conditions": [ready], "images": images}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": status}


def sound(cluster: FakeCluster) -> None:
    """Put everything there that the manifests put there."""
    credentials = {"AWS_ACCESS_KEY_ID": "a2V5", "AWS_SECRET_ACCESS_KEY": "c2VjcmV0"}
    settings = {
        "EVOPTIM_STORE": "s3://bucket",
        "AWS_ENDPOINT_URL": "http://s3",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    hard = {"requests.cpu": "32", "requests.memory": "96Gi", "pods": "200", "limits.cpu": "96"}
    used = {"requests.cpu": "250m", "requests.memory": "1Gi", "pods": "1", "limits.cpu": "2"}
    quota = {"metadata": {"name": "evoptim"}, "spec": {"hard": hard}, "status": {"used": used}}
    limit = {"type": "Container", "min": {"cpu": "10m"}, "max": {"cpu": "32", "memory": "128Gi"}}
    image = "registry.example/evoptim:1"
    pulled = {
        "metadata": {"name": "pulled"},
        "reason": "Pulled",
        "involvedObject": {"kind": "Pod"},
        "message": f'Successfully pulled image "{image}" in 2s',
        "lastTimestamp": "2026-01-01T00:00:00Z",
    }
    cluster.put("events", pulled)
    cluster.found.update(
        {
            "/apis/argoproj.io/v1alpha1": {"resources": [{"name": "workflows"}]},
            NS: {
                "metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
            },
            f"{NS}/secrets/evoptim-s3": {"data": credentials},
            f"{NS}/configmaps/evoptim-store": {"data": settings},
            f"{NS}/persistentvolumeclaims/runs": {"status": {"phase": "Bound"}},
            f"{NS}/resourcequotas": {"items": [quota]},
            f"{NS}/limitranges": {
                "items": [{"metadata": {"name": "evoptim"}, "spec": {"limits": [limit]}}]
            },
            "/api/v1/nodes": {"items": [node("one"), node("two")]},
        }
    )
    for name in ("search", "worker", "executor"):
        cluster.found[f"{NS}/serviceaccounts/evoptim-{name}"] = {}
    for name in ("search", "worker"):
        cluster.found[f"/apis/scheduling.k8s.io/v1/priorityclasses/evoptim-{name}"] = {}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeCluster]:
    """A cluster with nothing missing."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(module, "_PATIENCE", Patience(total=0.3, first=0.01, longest=0.05))
    monkeypatch.setattr(deep_module, "_POLL_SECONDS", 0.01)
    with fake_cluster() as fake:
        monkeypatch.setenv("KUBECONFIG", str(fake.kubeconfig(tmp_path)))
        sound(fake)
        yield fake


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir()
    return folder


def examine(store: Path, target: Any = "argo", **changes: Any) -> list[Finding]:
    start_pods = changes.pop("start_pods", False)
    profile: ClusterProfile = cluster_profile(store, **changes)
    return list(diagnose(profile, target, str(store), start_pods=start_pods, seconds=5.0))


def bad(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(each.check, each.verdict) for each in findings if each.verdict != "ok"]


def test_a_sound_cluster_has_no_bad_finding(cluster: FakeCluster, store: Path) -> None:
    findings = examine(store)
    assert bad(findings) == []
    checks = {each.check for each in findings}
    assert checks == {
        *("API server", "clock", "engine", "namespace", "your rights", "pods' rights"),
        *("accounts", "priorities", "secrets", "settings", "mounts", "quota", "nodes", "image"),
        "store",
    }


def test_no_value_of_a_secret_is_shown(cluster: FakeCluster, store: Path) -> None:
    told = " ".join(map(str, examine(store)))
    assert "AWS_SECRET_ACCESS_KEY" in told
    assert "c2VjcmV0" not in told


def lose(path: str) -> Callable[[FakeCluster], None]:
    return lambda cluster: cluster.found.pop(path, None) and None


def change(path: str, value: Any) -> Callable[[FakeCluster], None]:
    return lambda cluster: cluster.found.update({path: value})


def deny(verb: str, resource: str) -> Callable[[FakeCluster], None]:
    return lambda cluster: cluster.denied.add((verb, resource))


def quota(**hard: str) -> dict[str, Any]:
    named = {key.replace("__", "."): value for key, value in hard.items()}
    return {"items": [{"metadata": {"name": "q"}, "spec": {"hard": named}}]}


def limits(**limit: dict[str, str]) -> dict[str, Any]:
    each = {"type": "Container", **limit}
    return {"items": [{"metadata": {"name": "l"}, "spec": {"limits": [each]}}]}


def failed_pull(cluster: FakeCluster) -> None:
    message = 'Failed to pull image "registry.example/evoptim:1": not found'
    about = {"kind": "Pod"}
    event = {"reason": "Failed", "involvedObject": about, "message": message}
    later = {"metadata": {"name": "failed"}, "lastTimestamp": "2026-01-02T00:00:00Z"}
    cluster.put("events", {**event, **later})


CASES: list[tuple[str, Any, dict[str, Any], str, str, str]] = [
    (
        "no Argo",
        lose("/apis/argoproj.io/v1alpha1"),
        {},
        "engine",
        "failed",
        "has no Argo Workflows: install it",
    ),
    ("no namespace", lose(NS), {}, "namespace", "failed", "no namespace evoptim: apply"),
    (
        "Pod Security",
        lambda cluster: None,
        {"security.run_as_non_root": False},
        "namespace",
        "failed",
        "restricted, which refuses pods with run_as_non_root: false",
    ),
    (
        "a right of the user",
        deny("create", "workflows"),
        {},
        "your rights",
        "failed",
        "you may not create workflows.argoproj.io in evoptim, which submit needs",
    ),
    (
        "the right to logs",
        deny("get", "pods/log"),
        {},
        "your rights",
        "failed",
        "you may not get pods/log in evoptim, which logs needs",
    ),
    (
        "a right of the pods",
        deny("watch", "jobs"),
        {},
        "pods' rights",
        "failed",
        "evoptim-search may not watch jobs.batch in evoptim: apply the manifests",
    ),
    (
        "no account",
        lose(f"{NS}/serviceaccounts/evoptim-worker"),
        {},
        "accounts",
        "failed",
        "no service account evoptim-worker",
    ),
    (
        "no account of Argo's",
        lose(f"{NS}/serviceaccounts/evoptim-executor"),
        {},
        "accounts",
        "failed",
        "no service account evoptim-executor",
    ),
    (
        "no priority",
        lose("/apis/scheduling.k8s.io/v1/priorityclasses/evoptim-worker"),
        {},
        "priorities",
        "failed",
        "no PriorityClass evoptim-worker",
    ),
    (
        "no secret",
        lose(f"{NS}/secrets/evoptim-s3"),
        {},
        "secrets",
        "failed",
        "no Secret evoptim-s3: make it: kubectl create secret generic evoptim-s3",
    ),
    (
        "a key is missing",
        change(f"{NS}/secrets/evoptim-s3", {"data": {"AWS_ACCESS_KEY_ID": "a2V5"}}),
        {},
        "secrets",
        "failed",
        "the Secret evoptim-s3 lacks AWS_SECRET_ACCESS_KEY",
    ),
    (
        "a key is empty",
        change(
            f"{NS}/secrets/evoptim-s3",
            {"data": {"AWS_ACCESS_KEY_ID": "a2V5", "AWS_SECRET_ACCESS_KEY": ""}},
        ),
        {},
        "secrets",
        "failed",
        "the Secret evoptim-s3 lacks AWS_SECRET_ACCESS_KEY",
    ),
    (
        "no settings",
        lose(f"{NS}/configmaps/evoptim-store"),
        {},
        "settings",
        "warning",
        "no ConfigMap evoptim-store, which is optional",
    ),
    (
        "no pull secret",
        lambda cluster: None,
        {"image_pull_secrets": ["registry"]},
        "secrets",
        "failed",
        "no Secret registry to pull the image with",
    ),
    (
        "no claim",
        lose(f"{NS}/persistentvolumeclaims/runs"),
        {},
        "mounts",
        "failed",
        "no claim runs to mount on",
    ),
    (
        "no Kueue",
        lambda cluster: None,
        {"queue": QUEUE},
        "queue",
        "failed",
        "the cluster has no Kueue",
    ),
    (
        "no queue",
        change(KUEUE, {"preferredVersion": {"version": "v1beta2"}}),
        {"queue": QUEUE},
        "queue",
        "failed",
        "no LocalQueue evoptim in evoptim: Jobs would wait for ever",
    ),
    (
        "no room in the quota",
        change(f"{NS}/resourcequotas", quota(requests__cpu="1")),
        {},
        "quota",
        "failed",
        "no room for one training pod and one step: requests.cpu (needs 1.25 of 1)",
    ),
    (
        "no GPU in the quota",
        change(f"{NS}/resourcequotas", {**quota(**{"requests.nvidia.com/gpu": "0"})}),
        {"workers.resources.gpu": 1},
        "quota",
        "failed",
        "requests.nvidia.com/gpu (needs 1 of 0)",
    ),
    (
        "a small quota",
        change(f"{NS}/resourcequotas", quota(requests__cpu="4")),
        {},
        "quota",
        "warning",
        "too small for 8 training pods at once: requests.cpu (needs 8.25 of 4)",
    ),
    (
        "a low limit",
        change(f"{NS}/limitranges", limits(max={"memory": "1Gi"})),
        {},
        "limits",
        "failed",
        "a training pod takes 2147483648 memory, l allows 1073741824",
    ),
    (
        "a high minimum",
        change(f"{NS}/limitranges", limits(min={"cpu": "2"})),
        {},
        "limits",
        "failed",
        "a step asks for 0.250 cpu, l demands 2",
    ),
    (
        "no GPU",
        lambda cluster: None,
        {"workers.resources.gpu": 1},
        "GPUs",
        "failed",
        "no node offers nvidia.com/gpu: install the device plugin",
    ),
    (
        "another label",
        lambda cluster: None,
        {"workers.node_selector": {"gpu": "a100"}},
        "nodes",
        "failed",
        "none of 2 nodes can take a training pod (2 × without the label gpu=a100)",
    ),
    (
        "tainted, cordoned and small nodes",
        change(
            "/api/v1/nodes",
            {
                "items": [
                    node("a", spec={"taints": [{"key": "gpu", "effect": "NoSchedule"}]}),
                    node("b", spec={"unschedulable": True}),
                    node("c", cpu="100m"),
                ]
            },
        ),
        {},
        "nodes",
        "failed",
        "(1 × cordoned, 1 × tainted gpu, 1 × too little cpu)",
    ),
    (
        "a failed pull",
        failed_pull,
        {},
        "image",
        "failed",
        'the last pull of registry.example/evoptim:1 failed: Failed to pull image "registry',
    ),
    (
        "an image that nobody pulled",
        lambda cluster: cluster.objects["events"].clear(),
        {},
        "image",
        "unknown",
        "nothing has pulled registry.example/evoptim:1 in evoptim lately",
    ),
    (
        "an image without a tag",
        lambda cluster: None,
        {"image": "registry.example/evoptim"},
        "image",
        "warning",
        "may be another image on every node",
    ),
    (
        "an image without a registry",
        lambda cluster: None,
        {"image": "evoptim:dev", "image_pull_policy": "Always"},
        "image",
        "warning",
        "names no registry, so it is pulled from docker.io",
    ),
    (
        "a clock that is off",
        lambda cluster: setattr(cluster, "skew", timedelta(minutes=10)),
        {},
        "clock",
        "failed",
        "this one is behind: let both follow a time server",
    ),
    (
        "a clock that is a little off",
        lambda cluster: setattr(cluster, "skew", timedelta(minutes=-1)),
        {},
        "clock",
        "warning",
        "this one is ahead",
    ),
    (
        "no right to look",
        lambda cluster: cluster.forbidden.add(f"{NS}/secrets"),
        {},
        "secrets",
        "unknown",
        "ask somebody who may look",
    ),
    (
        "no right to look at nodes",
        lambda cluster: cluster.forbidden.add("/api/v1/nodes"),
        {},
        "nodes",
        "unknown",
        "ask somebody who may look",
    ),
]


@pytest.mark.parametrize(
    ("spoil", "changes", "check", "verdict", "text"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_what_is_wrong_is_found_and_the_rest_looked_at(
    cluster: FakeCluster,
    store: Path,
    spoil: Callable[[FakeCluster], None],
    changes: dict[str, Any],
    check: str,
    verdict: str,
    text: str,
) -> None:
    spoil(cluster)
    findings = examine(store, **changes)
    assert (check, verdict) in bad(findings)
    told = [str(each) for each in findings if (each.check, each.verdict) == (check, verdict)]
    assert any(text in each for each in told), told
    assert findings[-1].check == "store"


def test_a_queue_at_work_is_sound_and_one_that_is_not_is_named(
    cluster: FakeCluster, store: Path
) -> None:
    path = f"{KUEUE}/v1beta1/namespaces/evoptim/localqueues/evoptim"
    active = {"type": "Active", "status": "True", "message": "can admit"}
    cluster.found[KUEUE] = {"preferredVersion": {"version": "v1beta1"}}
    cluster.found[path] = {"status": {"conditions": [active], "pendingWorkloads": 3}}
    assert bad(examine(store, queue=QUEUE)) == []
    stopped = {**active, "status": "False", "message": "the ClusterQueue is stopped"}
    cluster.found[path] = {"status": {"conditions": [stopped]}}
    assert ("queue", "failed") in bad(examine(store, queue=QUEUE))


def test_gpu_nodes_are_found_by_label_taint_and_number(cluster: FakeCluster, store: Path) -> None:
    labels = {"nvidia.com/gpu.product": "H100", "generation": "9"}
    taint = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
    gpus = {"nvidia.com/gpu": "8"}
    ours = node("gpu", labels=labels, spec={"taints": [taint]}, **gpus)
    cluster.found["/api/v1/nodes"] = {"items": [node("cpu"), ours]}
    wanted = {
        "workers.resources.gpu": 1,
        "workers.node_selector": {"nvidia.com/gpu.product": "H100"},
        "workers.node_affinity": [
            {"expressions": [{"key": "generation", "operator": "Gt", "values": ["8"]}]}
        ],
        "workers.tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
    }
    findings = examine(store, **wanted)
    assert bad(findings) == []
    told = [each.told for each in findings if each.check in ("GPUs", "nodes")]
    assert told[:2] == ["the nodes offer 8 nvidia.com/gpu", "1 of 2 nodes can take a training pod"]
    assert ("nodes", "failed") in bad(examine(store, **{**wanted, "workers.tolerations": []}))
    more = {**wanted, "workers.resources.gpu": 16}
    assert ("nodes", "failed") in bad(examine(store, **more))


def test_an_image_on_the_nodes_need_not_be_pulled(cluster: FakeCluster, store: Path) -> None:
    cluster.objects["events"].clear()
    there = {"names": ["docker.io/library/evoptim:dev"]}
    cluster.found["/api/v1/nodes"] = {"items": [node("one", images=[there])]}
    assert bad(examine(store, image="evoptim:dev")) == []


def test_exactly_the_rights_that_the_verbs_use_are_asked_about(
    cluster: FakeCluster, store: Path
) -> None:
    examine(store)
    asked = {
        (
            each["spec"]["resourceAttributes"]["verb"],
            "/".join(
                filter(
                    None,
                    (
                        each["spec"]["resourceAttributes"]["resource"],
                        each["spec"]["resourceAttributes"].get("subresource"),
                    ),
                )
            ),
        )
        for each in cluster.reviewed
        if each["kind"] == "SelfSubjectAccessReview"
    }
    assert asked == {(each.verb, each.resource) for each in user_verbs("argo")}


def test_a_user_who_may_not_ask_for_others_is_told_how(cluster: FakeCluster, store: Path) -> None:
    cluster.forbidden.add("/apis/authorization.k8s.io/v1/namespaces")
    findings = examine(store)
    assert bad(findings) == [("pods' rights", "unknown")]
    (told,) = [str(each) for each in findings if each.check == "pods' rights"]
    assert "kubectl auth can-i --as=system:serviceaccount:evoptim:evoptim-search" in told


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda c: setattr(c, "down", True), "run the same command again when it is back"),
        (lambda c: c.fail("401"), "does not know these credentials"),
    ],
)
def test_without_the_api_server_the_store_is_still_looked_at(
    cluster: FakeCluster, store: Path, spoil: Callable[[FakeCluster], None], text: str
) -> None:
    spoil(cluster)
    findings = examine(store)
    assert findings[0].check == "API server"
    assert findings[0].verdict == "failed"
    assert text in str(findings[0])
    assert {each.check for each in findings[1:]} == {"store"}


# KFP


@pytest.fixture
def kfp(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKfp]:
    for name in ("KFP_TOKEN", "KFP_COOKIES", "KFP_NAMESPACE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    with fake_kfp() as server:
        server.shared = True
        monkeypatch.setenv("KFP_ENDPOINT", server.url)
        yield server


def test_kfp_is_asked_for_what_needs_a_login(
    cluster: FakeCluster, kfp: FakeKfp, store: Path
) -> None:
    assert bad(examine(store, "kfp")) == []
    kfp.token = "another"
    (told,) = [each for each in examine(store, "kfp") if each.verdict != "ok"]
    assert (told.check, told.verdict) == ("engine", "failed")
    assert "does not know these credentials" in told.told


def test_a_kfp_for_one_user_runs_pods_elsewhere(
    cluster: FakeCluster, kfp: FakeKfp, store: Path
) -> None:
    kfp.shared = False
    (told,) = [each for each in examine(store, "kfp") if each.verdict != "ok"]
    assert (told.check, told.verdict) == ("engine", "warning")
    assert "set the profile's namespace to kubeflow" in told.remedy


def test_with_kfp_the_rights_to_follow_jobs_are_no_condition(
    cluster: FakeCluster, kfp: FakeKfp, store: Path
) -> None:
    cluster.denied.add(("get", "pods/log"))
    assert bad(examine(store, "kfp")) == [("your rights", "warning")]


# Pods


def job_ends(cluster: FakeCluster, condition: str, log: str, **status: Any) -> None:
    """Let every Job end at once, with one pod."""

    def on_create(job: dict[str, Any]) -> None:
        name = job["metadata"]["name"]
        labels = {"batch.kubernetes.io/job-name": name}
        phase = "Succeeded" if condition == "Complete" else "Failed"
        cluster.put_pod(f"{name}-x", phase, labels, log=log, **status)
        cluster.end(name, condition)

    cluster.on_create = on_create


def test_pods_are_started_only_when_asked_and_leave_nothing(
    cluster: FakeCluster, store: Path
) -> None:
    assert cluster.seen("POST", "/jobs") == 0
    job_ends(cluster, "Complete", "store answers\n")
    findings = examine(store, start_pods=True)
    assert bad(findings) == []
    told = [each.told for each in findings if each.check == "pods"]
    assert told == [
        "a training pod started, and all is sound in it: store answers",
        "a step started, and all is sound in it: store answers",
    ]
    cluster.wait_for(lambda: not cluster.objects["jobs"])
    declared = {(each.verb, each.resource) for each in (*user_verbs("argo"), *DEEP_VERBS)}
    jobs = {each for each in asked_for(cluster) if each[1].startswith(("jobs", "pods"))}
    assert jobs <= declared
    worker, search = (each["spec"]["template"]["spec"] for each in cluster.created)
    assert worker["serviceAccountName"] == "evoptim-worker"
    assert search["serviceAccountName"] == "evoptim-search"
    assert worker["containers"][0]["args"] == ["health", "--store", str(store)]


def test_a_pod_that_cannot_start_says_why(
    cluster: FakeCluster, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}
    state = {"name": "main", "state": {"waiting": waiting}}
    job_ends(cluster, "Failed", "", containerStatuses=[state])
    findings = [each for each in examine(store, start_pods=True) if each.check == "pods"]
    assert [each.verdict for each in findings] == ["failed", "failed"]
    assert "ImagePullBackOff" in findings[0].told
    assert "push the image" in findings[0].remedy


# The store


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with serve_s3() as server:
        server.create_bucket()
        yield server


def test_the_store_of_the_cluster_is_written_read_and_cleaned(
    cluster: FakeCluster, s3: S3Server, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    data = {**cluster.found[f"{NS}/configmaps/evoptim-store"]["data"]}
    cluster.found[f"{NS}/configmaps/evoptim-store"] = {
        "data": {**data, "EVOPTIM_STORE": f"s3://{BUCKET}/doctor"}
    }
    findings = list(diagnose(cluster_profile(store), "argo"))
    assert bad(findings) == []
    told = [each.told for each in findings if each.check == "store"]
    assert told == [
        f"s3://{BUCKET}/doctor answers and can be listed",
        "objects can be written, read and listed",
        "conditional writes are honoured: nothing is overwritten",
        "objects can be deleted, to clean up old runs",
    ]
    assert any("the store" in each.told for each in findings if each.check == "clock")
    listed = s3.client().list_objects_v2(Bucket=BUCKET, Prefix="doctor/")["Contents"]
    assert [each["Key"] for each in listed] == ["doctor/.evoptim/probe"]


def test_a_store_that_refuses_is_a_finding(
    cluster: FakeCluster, s3: S3Server, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    findings = list(diagnose(cluster_profile(store), "argo", "s3://no-such-bucket-here"))
    assert (findings[-1].check, findings[-1].verdict) == ("store", "failed")
    assert "create the bucket" in str(findings[-1])


def test_nothing_but_trials_can_be_removed_from_a_store(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    bucket = S3Store(BUCKET, "kept")
    bucket.put("runs/first/config.json", b"{}")
    with pytest.raises(InputError, match="nothing but"):
        bucket.remove_trial("runs/first/config.json")
    assert bucket.get("runs/first/config.json") == b"{}"


def test_no_store_at_all_is_a_finding(cluster: FakeCluster, store: Path) -> None:
    cluster.found.pop(f"{NS}/configmaps/evoptim-store")
    findings = list(diagnose(cluster_profile(store), "argo"))
    assert str(findings[-1]).startswith("no store is known: give --store")
