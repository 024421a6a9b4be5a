"""Searches on Argo Workflows and their Jobs, through the real client and HTTP."""

from __future__ import annotations

import base64
import gzip
import json
import os
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cluster_run import RUN, cluster_profile, compute, remember, tiny_config
from kubernetes_api.scripted_engines import FakeCluster, asked_for, fake_cluster, job
from manifest_checks.schemas import closed

from evoptim.errors import InfrastructureError, InputError
from evoptim.store import open_store
from evoptim.verbs import (
    RunStatus,
    Submitted,
    cancel,
    follow_logs,
    logs,
    resume,
    status,
    submit,
    watch,
)
from evoptim.verbs.cluster import cancelling, servers
from pipelines.job import STORE_LABEL
from pipelines.pod import RUN_LABEL, STAGE_LABEL
from pipelines.submit import last_submission
from pipelines.submit.argo import VERBS as ARGO_VERBS
from pipelines.submit.argo import build_workflow, read_workflow
from pipelines.submit.engine import Package
from pipelines.submit.jobs import VERBS as JOB_VERBS
from pipelines.submit.jobs import store_label
from pipelines.submit.pod_logs import VERBS as LOG_VERBS

_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeCluster]:
    """A cluster that KUBECONFIG names, and nothing else that does."""
    for name in ("KUBERNETES_SERVICE_HOST", "KFP_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(servers, "_SECONDS", 0.3)
    monkeypatch.setattr(cancelling, "_POLL_SECONDS", 0.01)
    with fake_cluster() as fake:
        monkeypatch.setenv("KUBECONFIG", str(fake.kubeconfig(tmp_path)))
        yield fake


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir()
    return folder


def send(store: Path, **changes: Any) -> Submitted:
    return submit(tiny_config(), cluster_profile(store, **changes), RUN, str(store), "argo")


def sent(cluster: FakeCluster, store: Path, **changes: Any) -> str:
    """A workflow that was submitted; its name."""
    uid = str(uuid.uuid4())
    submission = remember(store, "argo", uid, cluster.url, **changes)
    metadata = {"name": submission.name, "namespace": "evoptim", "uid": uid}
    cluster.workflows[submission.name] = {"metadata": metadata, "spec": {}}
    return submission.name


def its_labels(store: Path, stage: str = "g001") -> dict[str, str]:
    return {RUN_LABEL: RUN, STORE_LABEL: store_label(str(store)), STAGE_LABEL: stage}


def put_job(cluster: FakeCluster, name: str, labels: dict[str, str], **status: Any) -> None:
    cluster.objects["jobs"][name] = job(name, labels, **status)


# Submitting


def test_a_search_is_submitted_as_one_workflow_and_remembered(
    cluster: FakeCluster, store: Path
) -> None:
    result = send(store)
    (workflow,) = cluster.workflows.values()
    assert workflow["kind"] == "Workflow"
    assert workflow["metadata"]["labels"][RUN_LABEL] == RUN
    values = {each["name"]: each["value"] for each in workflow["spec"]["arguments"]["parameters"]}
    assert (values["store"], values["run"]) == (str(store), RUN)
    assert json.loads(values["config"])["search"]["initial"] == 5
    assert (values["candidates_per_task"], values["patience"]) == ("1", "0")
    kept = last_submission(open_store(str(store)), RUN)
    assert kept is not None
    assert kept == result.submission
    assert (kept.engine_id, kept.name) == (
        workflow["metadata"]["uid"],
        workflow["metadata"]["name"],
    )
    assert (kept.address, result.page) == (cluster.url, None)


@pytest.mark.parametrize("fan_out", ["loop", "job"])
def test_argos_schema_takes_the_workflow(cluster: FakeCluster, store: Path, fan_out: str) -> None:
    folder = os.environ.get("EVOPTIM_SCHEMA_DIR")
    if not folder:
        pytest.skip("EVOPTIM_SCHEMA_DIR names no folder with Argo's schema")
    definitions = json.loads((Path(folder) / "argo-workflows.schema.json").read_text())[
        "definitions"
    ]
    definitions[_INT_OR_STRING] = {"type": ["string", "integer"]}
    kind = "io.argoproj.workflow.v1alpha1.Workflow"
    schema = closed({"$ref": f"#/definitions/{kind}", "definitions": definitions})
    send(store, fan_out=fan_out)
    (workflow,) = cluster.workflows.values()
    del workflow["metadata"]["uid"]
    assert not list(jsonschema.Draft202012Validator(schema).iter_errors(workflow))


def test_an_early_end_is_passed_on_and_kept(cluster: FakeCluster, store: Path) -> None:
    profile = cluster_profile(store)
    submit(tiny_config(), profile, RUN, str(store), "argo", patience=3)
    cluster.end_workflow("Failed")
    resume(RUN, str(store))
    for workflow in cluster.workflows.values():
        parameters = workflow["spec"]["arguments"]["parameters"]
        assert {"3"} == {each["value"] for each in parameters if each["name"] == "patience"}


def test_kfp_cannot_end_early_and_says_so(cluster: FakeCluster, store: Path) -> None:
    with pytest.raises(InputError, match="only Argo can end a search early, got --patience 3"):
        submit(tiny_config(), cluster_profile(store), RUN, str(store), "kfp", patience=3)


def test_a_workflow_at_work_is_left_alone_and_one_that_ended_continued(
    cluster: FakeCluster, store: Path
) -> None:
    send(store)
    assert send(store).outcome == "running"
    cluster.end_workflow("Failed", message="child failed")
    again = resume(RUN, str(store))
    assert again.outcome == "submitted"
    first, second = cluster.workflows.values()
    assert first["metadata"]["name"] != second["metadata"]["name"]
    assert first["spec"] == second["spec"]


def test_a_resumed_run_may_have_another_profile(cluster: FakeCluster, store: Path) -> None:
    cluster.workflows.pop(sent(cluster, store))
    again = resume(RUN, str(store), profile=cluster_profile(store, parallelism=3))
    assert again.submission is not None
    assert again.submission.profile.parallelism == 3


def test_a_submission_that_was_not_remembered_is_found_again(
    cluster: FakeCluster, store: Path
) -> None:
    send(store)
    (document,) = (store / "runs/tiny/submissions").iterdir()
    document.unlink()
    result = send(store)
    (workflow,) = cluster.workflows.values()
    assert result.submission is not None
    assert result.submission.engine_id == workflow["metadata"]["uid"]


def test_of_two_submissions_at_once_one_is_made(cluster: FakeCluster, store: Path) -> None:
    results: list[Submitted] = []
    threads = [
        threading.Thread(target=lambda: results.append(send(store, fan_out="job")))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cluster.workflows) == 1
    assert len({each.submission.engine_id for each in results if each.submission}) == 1
    assert len(list((store / "runs/tiny/submissions").iterdir())) == 1


def test_another_workflow_of_that_name_is_not_touched(cluster: FakeCluster, store: Path) -> None:
    send(store)
    (document,) = (store / "runs/tiny/submissions").iterdir()
    document.unlink()
    (workflow,) = cluster.workflows.values()
    workflow["metadata"]["labels"][RUN_LABEL] = "another"
    with pytest.raises(InfrastructureError, match="in the way, and not of this run"):
        send(store)


@pytest.mark.parametrize(
    ("spoil", "error", "text"),
    [
        (lambda c: setattr(c, "has_argo", False), InputError, "the cluster has no Argo Workflows"),
        (lambda c: c.fail("401"), InputError, "does not know these credentials"),
        (lambda c: c.fail("422", message="spec is bad"), InputError, "Argo refuses the workflow"),
        (
            lambda c: c.fail("404", message='namespaces "evoptim" not found'),
            InputError,
            "the cluster has no namespace 'evoptim'",
        ),
        (lambda c: c.forbidden.add("/apis/argoproj.io"), InputError, "forbids POST"),
        (lambda c: setattr(c, "down", True), InfrastructureError, "run the same command again"),
    ],
)
def test_what_the_cluster_refuses_is_said_and_nothing_remembered(
    cluster: FakeCluster, store: Path, spoil: Any, error: type[Exception], text: str
) -> None:
    spoil(cluster)
    with pytest.raises(error, match=text):
        send(store)
    assert last_submission(open_store(str(store)), RUN) is None


def test_without_a_cluster_it_says_how_to_name_one(
    cluster: FakeCluster, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(store / "none"))
    with pytest.raises(InputError, match="set KUBECONFIG"):
        send(store)


@pytest.mark.parametrize("url", ["runs", "/var/runs"])
def test_a_store_that_pods_cannot_see_is_refused(
    cluster: FakeCluster, store: Path, url: str
) -> None:
    with pytest.raises(InputError, match="the pods must see the store too"):
        submit(tiny_config(), cluster_profile(store), RUN, url, "argo")
    assert cluster.requests == []


def test_images_need_a_path_in_the_pods(
    cluster: FakeCluster, store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = {"name": "imagefolder", "train": 40, "validation": 50, "test": 20}
    relative = tiny_config(protocol__task={**task, "data": "images.zip"})
    with pytest.raises(InputError, match=r"by their path in the pods, got 'images\.zip'"):
        submit(relative, cluster_profile(store), RUN, str(store), "argo")
    absolute = tiny_config(protocol__task={**task, "data": "/data/images.zip"})
    submit(absolute, cluster_profile(store), RUN, str(store), "argo")
    assert "no mount of the profile holds the images /data/images.zip" in caplog.text


def test_a_template_of_another_version_is_refused(store: Path) -> None:
    template = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "WorkflowTemplate",
        "metadata": {"name": "x"},
        "spec": {"arguments": {"parameters": [{"name": "novel"}]}},
    }
    package = Package("n", RUN, "s3://b", json.dumps(template), {}, cluster_profile(store))
    with pytest.raises(InputError, match="a parameter 'novel' without a value"):
        build_workflow(package)
    with pytest.raises(InputError, match="holds no WorkflowTemplate"):
        build_workflow(Package("n", RUN, "s3://b", "kind: Job", {}, cluster_profile(store)))


# Following


@pytest.mark.parametrize(
    ("phase", "spec", "expected"),
    [
        ("Succeeded", {}, "succeeded"),
        ("Failed", {}, "failed"),
        ("Error", {}, "failed"),
        ("Failed", {"shutdown": "Terminate"}, "cancelled"),
        ("Failed", {"shutdown": "Stop"}, "cancelled"),
    ],
)
def test_watching_ends_on_every_terminal_state(
    cluster: FakeCluster, store: Path, phase: str, spec: dict[str, str], expected: str
) -> None:
    name = sent(cluster, store)

    def end(found: RunStatus) -> None:
        cluster.workflows[name]["spec"] = spec
        cluster.end_workflow(phase)

    last = watch(RUN, str(store), end, seconds=0.01)
    assert last.engine is not None
    assert (last.engine.phase, last.finished) == (expected, False)


@pytest.mark.usefixtures("image_cache")
def test_watching_ends_when_the_report_is_there_whatever_the_engine_says(
    cluster: FakeCluster, store: Path
) -> None:
    sent(cluster, store)
    compute(store)
    cluster.end_workflow("Failed", message="a baseline failed")
    last = watch(RUN, str(store), seconds=0.01)
    assert last.finished


@pytest.mark.parametrize("anew", [False, True])
def test_watching_ends_when_the_workflow_was_deleted(
    cluster: FakeCluster, store: Path, anew: bool
) -> None:
    name = sent(cluster, store)

    def delete(found: RunStatus) -> None:
        if anew:
            cluster.workflows[name]["metadata"]["uid"] = "another"
        else:
            cluster.workflows.clear()

    last = watch(RUN, str(store), delete, seconds=0.01)
    assert last.engine is not None
    assert last.engine.phase == "gone"


def test_watching_survives_an_api_server_that_is_away(cluster: FakeCluster, store: Path) -> None:
    sent(cluster, store)
    problems = []

    def go_on(found: RunStatus) -> None:
        problems.append(found.problem)
        if len(problems) == 1:
            cluster.down = True
        elif problems[-1] is not None:
            cluster.down = False
            cluster.end_workflow("Failed")

    watch(RUN, str(store), go_on, seconds=0.01)
    assert any(isinstance(each, InfrastructureError) for each in problems)


def test_a_run_of_this_machine_has_no_end_that_can_be_watched(
    cluster: FakeCluster, store: Path, image_cache: None
) -> None:
    from cluster_run import start

    start(store)
    assert status(RUN, str(store)).submission is None
    with pytest.raises(InputError, match="was never submitted to a cluster"):
        watch(RUN, str(store), seconds=0.01)
    with pytest.raises(InputError, match="was never submitted to a cluster"):
        cancel(RUN, str(store))
    with pytest.raises(InputError, match="say where with --profile and --target"):
        resume(RUN, str(store))


def test_an_unknown_run_is_named(cluster: FakeCluster, store: Path) -> None:
    for verb in (status, watch, resume, cancel, logs, follow_logs):
        with pytest.raises(InputError, match="there is no run 'tiny' in"):
            verb(RUN, str(store))


def test_status_shows_jobs_and_the_step_that_failed(cluster: FakeCluster, store: Path) -> None:
    sent(cluster, store, fan_out="job")
    put_job(cluster, "evoptim-tiny-g001-1", its_labels(store), active=2, succeeded=1)
    put_job(cluster, "of-another-store", {**its_labels(store), STORE_LABEL: "0"})
    nodes = {
        "w-1": {"id": "w-1", "name": "w.a", "displayName": "a", "type": "Pod", "phase": "Running"},
        "w-2": {
            "id": "w-2",
            "name": "w.select",
            "displayName": "select",
            "templateName": "select",
            "type": "Pod",
            "phase": "Failed",
            "message": "OOMKilled (exit code 137)",
            "finishedAt": "2026-01-01T00:00:00Z",
        },
        "w": {"id": "w", "name": "w", "type": "DAG", "phase": "Failed", "children": ["w-2"]},
    }
    packed = base64.b64encode(gzip.compress(json.dumps(nodes).encode())).decode()
    for given in ({"nodes": nodes}, {"compressedNodes": packed}):
        cluster.end_workflow("Running", **given)
        found = status(RUN, str(store))
        assert [each.name for each in found.jobs] == ["evoptim-tiny-g001-1"]
        assert found.jobs[0].status.done == 1
        assert found.engine is not None
        step = found.engine.failure()
        assert step is not None
        assert (step.name, step.message) == ("select", "OOMKilled (exit code 137)")
        assert step.pod == "w-select-2"


def test_a_workflow_says_what_it_waits_for() -> None:
    holder = {"mutex": {"waiting": [{"holder": "evoptim/another", "mutex": "m"}]}}
    waits = read_workflow({"spec": {}, "status": {"synchronization": holder}})
    assert (waits.phase, waits.message) == ("pending", "waits for the workflow evoptim/another")
    new = read_workflow({"spec": {}})
    assert (new.phase, new.message) == ("pending", "the workflow controller has not started it yet")
    held = read_workflow({"spec": {"suspend": True}, "status": {"phase": "Running"}})
    assert held.phase == "suspended"


# Logs


def of_workflow(name: str) -> dict[str, str]:
    return {"workflows.argoproj.io/workflow": name}


def test_logs_are_those_of_the_pods_that_failed(cluster: FakeCluster, store: Path) -> None:
    name = sent(cluster, store)
    put_job(cluster, "j", its_labels(store))
    of_job = {"batch.kubernetes.io/job-name": "j", STAGE_LABEL: "g001"}
    index = {"batch.kubernetes.io/job-completion-index": "7"}
    ended = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    cluster.put_pod(
        "j-7",
        "Failed",
        of_job,
        annotations=index,
        log="step 1\nstep 2\n",
        containerStatuses=[{"name": "main", "state": ended}],
    )
    cluster.put_pod("j-8", "Running", of_job, log="training\n")
    cluster.put_pod("other", "Failed", {"batch.kubernetes.io/job-name": "k"}, log="no\n")
    cluster.put_pod("gone", "Failed", of_workflow(name))
    found = {each.pod: each for each in logs(RUN, str(store))}
    assert found.keys() == {"j-7", "gone"}
    assert found["j-7"].text == "step 1\nstep 2\n"
    assert found["j-7"].step == "g001, task 7"
    assert found["j-7"].trouble == "OOMKilled (exit 137)"
    assert found["gone"].text == ""


def test_without_failures_logs_are_those_of_the_pods_at_work(
    cluster: FakeCluster, store: Path
) -> None:
    name = sent(cluster, store)
    node = {"workflows.argoproj.io/node-name": f"{name}.generations.turn-01.select"}
    cluster.put_pod("a", "Running", of_workflow(name), annotations=node, log="selecting\n")
    cluster.put_pod("b", "Succeeded", of_workflow(name), log="done\n")
    (found,) = logs(RUN, str(store))
    assert (found.pod, found.step) == ("a", "generations.turn-01.select")
    assert [each.pod for each in logs(RUN, str(store), step="b")] == ["b"]
    assert [each.pod for each in logs(RUN, str(store), step="turn-01.sel")] == ["a"]
    assert list(logs(RUN, str(store), step="none such")) == []


def test_of_many_pods_a_few_are_shown(cluster: FakeCluster, store: Path) -> None:
    name = sent(cluster, store)
    for number in range(20):
        cluster.put_pod(f"p{number:02d}", "Failed", of_workflow(name), log=f"{number}\n")
    assert len(list(logs(RUN, str(store), most=3))) == 3
    (query,) = {query["tailLines"] for _, path, query in cluster.requests if path.endswith("/log")}
    assert query == "50"


# Ending


def test_cancelling_ends_the_workflow_then_its_jobs(cluster: FakeCluster, store: Path) -> None:
    name = sent(cluster, store)
    put_job(cluster, "of-another-run", {**its_labels(store), RUN_LABEL: "another"})
    put_job(cluster, "evoptim-tiny-g001-1", its_labels(store))
    cluster.put_pod("watcher", "Running", of_workflow(name))

    def end() -> None:
        """As Argo does: the pod is told, makes one last Job, and ends."""
        cluster.wait_for(lambda: cluster.workflows[name]["spec"].get("shutdown") == "Terminate")
        cluster.end_workflow("Failed", message="Stopped with strategy 'Terminate'")
        cluster.wait_for(lambda: cluster.seen("DELETE", "evoptim-tiny-g001-1"))
        put_job(cluster, "evoptim-tiny-g001-2", its_labels(store))
        cluster.objects["pods"].pop("watcher")

    thread = threading.Thread(target=end)
    thread.start()
    result = cancel(RUN, str(store))
    thread.join()
    assert result.state.phase == "cancelled"
    assert "evoptim-tiny-g001-1" in result.jobs
    assert cluster.objects["jobs"].keys() == {"of-another-run"}


def test_cancelling_a_deleted_workflow_removes_the_jobs_that_it_left(
    cluster: FakeCluster, store: Path
) -> None:
    cluster.workflows.pop(sent(cluster, store))
    put_job(cluster, "evoptim-tiny-g001-1", its_labels(store))
    result = cancel(RUN, str(store))
    assert (result.state.phase, result.jobs) == ("gone", ("evoptim-tiny-g001-1",))
    assert cluster.objects["jobs"] == {}


def test_cancelling_says_which_pod_does_not_end(
    cluster: FakeCluster, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = sent(cluster, store)
    cluster.end_workflow("Failed")
    cluster.put_pod("stubborn", "Running", of_workflow(name))
    monkeypatch.setattr(cancelling, "_SECONDS", 0.05)
    with pytest.raises(InfrastructureError, match="the pod stubborn is at work"):
        cancel(RUN, str(store))


def test_no_more_rights_are_used_than_are_declared(cluster: FakeCluster, store: Path) -> None:
    send(store, fan_out="job")
    put_job(cluster, "j", its_labels(store))
    name = next(iter(cluster.workflows))
    cluster.put_pod("p", "Failed", of_workflow(name), log="x")
    status(RUN, str(store))
    list(logs(RUN, str(store)))
    threading.Timer(0.05, lambda: cluster.end_workflow("Failed")).start()
    cancel(RUN, str(store))
    resume(RUN, str(store))
    declared = {(each.verb, each.resource) for each in (*ARGO_VERBS, *JOB_VERBS, *LOG_VERBS)}
    assert asked_for(cluster) == declared
