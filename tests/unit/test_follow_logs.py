"""Logs that are followed: what pods print, once each line, until the run has ended."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster_run import RUN, remember
from fake_kfp import fake_kfp
from kubernetes_api.scripted_engines import FakeCluster, asked_for, fake_cluster, job

from evoptim.errors import InfrastructureError, InputError
from evoptim.verbs import follow_logs
from evoptim.verbs.cluster import pod_logs, servers
from pipelines.job import STORE_LABEL
from pipelines.kubernetes_api import Patience
from pipelines.pod import RUN_LABEL, STAGE_LABEL
from pipelines.submit.argo import VERBS as ARGO_VERBS
from pipelines.submit.follow_logs import _second
from pipelines.submit.jobs import VERBS as JOB_VERBS
from pipelines.submit.jobs import store_label
from pipelines.submit.pod_logs import VERBS as LOG_VERBS
from pipelines.submit.pod_logs import PodLog


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeCluster]:
    for name in ("KUBERNETES_SERVICE_HOST", "KFP_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Patience, "wait", lambda *_: 0.01)
    with fake_cluster() as fake:
        monkeypatch.setenv("KUBECONFIG", str(fake.kubeconfig(tmp_path)))
        yield fake


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir()
    return folder


@pytest.fixture
def labels(cluster: FakeCluster, store: Path) -> dict[str, str]:
    """Those of the pods of a workflow that is at work."""
    uid = str(uuid.uuid4())
    submission = remember(store, "argo", uid, cluster.url, fan_out="job")
    cluster.workflows[submission.name] = {"metadata": {"uid": uid}, "spec": {}}
    cluster.end_workflow("Running")
    return {"workflows.argoproj.io/workflow": submission.name}


def follow(store: Path, **options: Any) -> Iterator[PodLog]:
    return follow_logs(RUN, str(store), seconds=0.01, **options)


def short(pieces: Iterator[PodLog]) -> list[tuple[str, str, str]]:
    return [(each.pod, each.phase, each.text) for each in pieces]


def test_each_line_comes_once_however_often_its_second_is_asked_for(
    cluster: FakeCluster, store: Path, labels: dict[str, str]
) -> None:
    cluster.put_pod("p", "Running", labels, log="0\n1\n2\n")
    pieces = follow(store, tail=2)
    assert next(pieces).text == "1\n2\n"
    printed = cluster.logs["p"]
    for number in range(3, 9):
        printed += f"{number}\n"
        cluster.logs["p"] = printed
        assert next(pieces).text == f"{number}\n"
    cluster.logs["p"] += "the\x0blast\u2028line\n"
    cluster.end_workflow("Succeeded")
    assert short(pieces) == [("p", "Running", "the\x0blast\u2028line\n")]


def test_pods_that_come_later_are_followed_from_their_first_line(
    cluster: FakeCluster, store: Path, labels: dict[str, str]
) -> None:
    cluster.put_pod("first", "Running", labels, log="at work\n")
    pieces = follow(store, tail=1)
    assert next(pieces).pod == "first"
    many = "".join(f"{number}\n" for number in range(100))
    its = {RUN_LABEL: RUN, STORE_LABEL: store_label(str(store)), STAGE_LABEL: "g001"}
    of_job = {"batch.kubernetes.io/job-name": "j", STAGE_LABEL: "g001"}
    index = {"batch.kubernetes.io/job-completion-index": "7"}
    cluster.put_pod("j-7", "Running", of_job, log=many, annotations=index)
    cluster.objects["jobs"]["j"] = job("j", its)
    found = next(pieces)
    assert (found.pod, found.step, found.text) == ("j-7", "g001, task 7", many)


def test_a_pod_that_fails_says_why_and_one_that_failed_before_says_nothing(
    cluster: FakeCluster, store: Path, labels: dict[str, str]
) -> None:
    killed = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    status = [{"name": "main", "state": killed}]
    cluster.put_pod("old", "Failed", labels, log="long ago\n")
    cluster.put_pod("p", "Running", labels, log="one\n")
    pieces = follow(store)
    assert next(pieces).text == "one\n"
    cluster.put_pod("p", "Failed", labels, log="one\ntwo\n", containerStatuses=status)
    found = next(pieces)
    assert (found.pod, found.phase, found.text) == ("p", "Failed", "two\n")
    assert found.trouble == "OOMKilled (exit 137)"
    cluster.put_pod("unseen", "Failed", labels, log="gone\n", reason="Evicted")
    found = next(pieces)
    assert (found.pod, found.trouble, found.text) == ("unseen", "Evicted", "gone\n")
    cluster.end_workflow("Failed")
    assert short(pieces) == []


def test_a_pod_that_cannot_start_says_so_once(
    cluster: FakeCluster, store: Path, labels: dict[str, str]
) -> None:
    def wait(reason: str, message: str) -> None:
        waiting = {"reason": reason, "message": message}
        state = {"name": "main", "state": {"waiting": waiting}}
        cluster.put_pod("p", "Pending", labels, containerStatuses=[state])

    wait("ImagePullBackOff", "back-off 10s")
    pieces = follow(store)
    assert next(pieces).trouble == "ImagePullBackOff: back-off 10s"
    wait("ImagePullBackOff", "back-off 20s")
    looks = cluster.seen("GET", "/pods")
    cluster.put_pod("other", "Running", labels, log="x\n")
    assert next(pieces).pod == "other"
    assert cluster.seen("GET", "/pods") > looks
    cluster.end_workflow("Failed")
    assert short(pieces) == []


def test_of_many_pods_a_few_are_followed_and_others_take_their_places(
    cluster: FakeCluster, store: Path, labels: dict[str, str]
) -> None:
    for number in range(4):
        cluster.put_pod(f"p{number}", "Running", labels, log="x\n")
    pieces = follow(store, most=2)
    assert {next(pieces).pod, next(pieces).pod} == {"p0", "p1"}
    cluster.put_pod("p0", "Succeeded", labels, log="x\ny\n")
    assert (next(pieces).text, next(pieces).pod) == ("y\n", "p2")


def test_steps_are_chosen_by_a_part_of_their_name(
    cluster: FakeCluster, store: Path, labels: dict[str, str]
) -> None:
    for name in ("propose-1", "select-2"):
        cluster.put_pod(name, "Running", labels, log=f"{name}\n")
    pieces = follow(store, step="select")
    assert next(pieces).pod == "select-2"
    cluster.end_workflow("Failed")
    assert short(pieces) == []


def test_of_a_run_that_has_ended_the_logs_are_shown_once(
    cluster: FakeCluster, store: Path, labels: dict[str, str]
) -> None:
    cluster.put_pod("p", "Failed", labels, log="why\n")
    cluster.end_workflow("Failed")
    assert short(follow(store)) == [("p", "Failed", "why\n")]


@pytest.mark.parametrize("fault", ["reset", "503", "429", "truncate"])
def test_no_line_is_lost_or_told_twice_when_the_cluster_fails_for_a_while(
    cluster: FakeCluster, store: Path, labels: dict[str, str], fault: str
) -> None:
    cluster.put_pod("p", "Running", labels, log="0\n")
    pieces = follow(store)
    assert next(pieces).text == "0\n"
    cluster.logs["p"] += "1\n"
    cluster.fail(fault, fault)
    assert next(pieces).text == "1\n"
    cluster.end_workflow("Succeeded")
    assert short(pieces) == []


def test_a_cluster_that_stays_away_is_an_error(
    cluster: FakeCluster,
    store: Path,
    labels: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pod_logs, "FOLLOWING_SECONDS", 0.2)
    cluster.put_pod("p", "Running", labels, log="0\n")
    pieces = follow(store)
    next(pieces)
    cluster.down = True
    with pytest.raises(InfrastructureError, match="run the same command again when it is back"):
        next(pieces)


def test_a_token_that_expires_meanwhile_is_named(
    cluster: FakeCluster, store: Path, labels: dict[str, str]
) -> None:
    cluster.put_pod("p", "Running", labels, log="0\n")
    pieces = follow(store)
    next(pieces)
    cluster.fail("401")
    with pytest.raises(InputError, match="log in to the cluster again"):
        next(pieces)


def test_a_run_of_kfp_is_followed_until_kfp_says_that_it_has_ended(
    cluster: FakeCluster, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "_SECONDS", 0.5)
    with fake_kfp() as kfp:
        monkeypatch.setenv("KFP_ENDPOINT", kfp.url)
        kfp.runs["id"] = {"run_id": "id", "state": "RUNNING"}
        remember(store, "kfp", "id", kfp.url)
        cluster.put_pod("p", "Running", {"pipeline/runid": "id"}, log="0\n")
        pieces = follow(store)
        assert next(pieces).text == "0\n"
        cluster.logs["p"] += "1\n"
        kfp.end("id", "CANCELED")
        assert short(pieces) == [("p", "Running", "1\n")]


def test_following_takes_no_more_rights_than_are_declared(
    cluster: FakeCluster, store: Path, labels: dict[str, str]
) -> None:
    cluster.put_pod("p", "Running", labels, log="0\n")
    pieces = follow(store)
    next(pieces)
    cluster.end_workflow("Failed")
    list(pieces)
    declared = {(each.verb, each.resource) for each in (*ARGO_VERBS, *JOB_VERBS, *LOG_VERBS)}
    assert asked_for(cluster) <= declared


@pytest.mark.parametrize(
    ("line", "second"),
    [
        ("2026-01-01T00:00:00.123456789Z x", "2026-01-01T00:00:00+00:00"),
        ("2026-01-01T00:00:00Z x", "2026-01-01T00:00:00+00:00"),
        ("2026-01-01T01:00:00.5+01:00 x", "2026-01-01T01:00:00+01:00"),
    ],
)
def test_times_are_asked_for_as_kubelets_read_them(line: str, second: str) -> None:
    assert _second(line) == second


def test_a_cluster_that_leaves_out_the_times_is_named() -> None:
    with pytest.raises(InfrastructureError, match="leave out --follow"):
        _second("step 1 of 10")
