"""Searches on Kubeflow Pipelines, through the real ``kfp.Client`` and HTTP."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster_run import RUN, cluster_profile, compute, remember, start, tiny_config
from fake_kfp import FakeKfp, fake_kfp, make_certificate
from kubernetes_api.scripted_engines import fake_cluster

from evoptim.errors import InfrastructureError, InputError
from evoptim.store import open_store
from evoptim.verbs import (
    RunStatus,
    Submitted,
    cancel,
    compile_for_cluster,
    resume,
    status,
    submit,
    watch,
)
from evoptim.verbs.cluster import cancelling, servers, watching
from pipelines.kubernetes_api import Patience
from pipelines.profile_reading import profile_from_json
from pipelines.submit import KfpEngine, last_submission
from pipelines.submit import kfp as module
from pipelines.submit.kfp import read_run

_VARIABLES = (
    *("KFP_ENDPOINT", "KF_PIPELINES_ENDPOINT", "KFP_TOKEN", "KFP_COOKIES", "KFP_CA_BUNDLE"),
    *("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KFP_NAMESPACE", "SSL_CERT_FILE"),
)


@pytest.fixture
def kfp(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeKfp]:
    """An installation that the environment names, and no cluster beside it."""
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setattr(servers, "_SECONDS", 0.5)
    monkeypatch.setattr(cancelling, "_POLL_SECONDS", 0.01)
    patience = Patience(total=0.5, first=0.01, longest=0.05)
    monkeypatch.setattr(module, "_PATIENCE", patience)
    with fake_kfp() as server:
        monkeypatch.setenv("KFP_ENDPOINT", server.url)
        yield server


def send(store: Path, **changes: Any) -> Submitted:
    profile = cluster_profile(store, fan_out="loop", **changes)
    return submit(tiny_config(), profile, RUN, str(store), "kfp")


def sent(kfp: FakeKfp, store: Path, **changes: Any) -> str:
    """A run that was submitted; its id."""
    identity = str(uuid.uuid4())
    submission = remember(store, "kfp", identity, kfp.url, **changes)
    parameters = {"store": str(store), "run": RUN}
    kfp.runs[identity] = {
        "run_id": identity,
        "display_name": submission.name,
        "state": "PENDING",
        "runtime_config": {"parameters": parameters},
    }
    return identity


def test_a_search_is_submitted_as_compiled_and_remembered(kfp: FakeKfp, tmp_path: Path) -> None:
    result = send(tmp_path)
    run = kfp.only_run()
    assert result.outcome == "submitted"
    parameters = run["runtime_config"]["parameters"]
    assert parameters["store"] == str(tmp_path)
    assert parameters["run"] == RUN
    assert parameters["candidates_per_task"] == 1
    assert yaml.safe_load(parameters["config"])["search"]["initial"] == 5
    assert run["service_account"] == "evoptim-search"
    assert "platform_spec" in run["pipeline_spec"]
    (experiment,) = kfp.experiments.values()
    assert (experiment["display_name"], run["experiment_id"]) == (
        "evoptim",
        experiment["experiment_id"],
    )
    kept = last_submission(open_store(str(tmp_path)), RUN)
    assert kept is not None
    assert kept == result.submission
    assert (kept.engine_id, kept.address, kept.number) == (run["run_id"], kfp.url, 0)
    assert result.page == f"{kfp.url}/#/runs/details/{run['run_id']}"


def test_it_sends_what_kfps_own_client_would(kfp: FakeKfp, tmp_path: Path) -> None:
    send(tmp_path)
    ours = kfp.only_run()["pipeline_spec"]
    path = tmp_path / "pipeline.yaml"
    profile = profile_from_json(cluster_profile(tmp_path, fan_out="loop").canonical_json())
    path.write_text(compile_for_cluster(tiny_config(), profile).text)
    kfp.runs.clear()
    KfpEngine()._client.run_pipeline(next(iter(kfp.experiments)), "theirs", str(path), params={})
    theirs = kfp.only_run()["pipeline_spec"]
    from google.protobuf import json_format
    from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec, PlatformSpec

    for name, kind in (("pipeline_spec", PipelineSpec), ("platform_spec", PlatformSpec)):
        assert json_format.ParseDict(ours[name], kind()) == json_format.ParseDict(
            theirs[name], kind()
        )


def test_an_installation_that_users_share_is_told_the_namespace(
    kfp: FakeKfp, tmp_path: Path
) -> None:
    kfp.shared = True
    send(tmp_path)
    (experiment,) = kfp.experiments.values()
    assert experiment["namespace"] == "evoptim"
    assert status(RUN, str(tmp_path)).engine is not None


def test_a_run_at_work_is_left_alone(kfp: FakeKfp, tmp_path: Path) -> None:
    send(tmp_path)
    kfp.end(kfp.only_run()["run_id"], "RUNNING")
    assert send(tmp_path).outcome == "running"
    assert resume(RUN, str(tmp_path)).outcome == "running"
    assert len(kfp.runs) == 1


@pytest.mark.parametrize("state", ["FAILED", "CANCELED", "SKIPPED", "SUCCEEDED"])
def test_a_run_that_ended_is_resumed_as_it_was(kfp: FakeKfp, tmp_path: Path, state: str) -> None:
    first = send(tmp_path, workers__retries=7)
    kfp.end(kfp.only_run()["run_id"], state)
    again = resume(RUN, str(tmp_path))
    assert again.outcome == "submitted"
    assert again.submission is not None
    assert first.submission is not None
    assert again.submission.number == 1
    assert again.submission.profile == first.submission.profile
    one, two = kfp.runs.values()
    assert one["pipeline_spec"] == two["pipeline_spec"]
    assert one["runtime_config"] == two["runtime_config"]
    assert one["display_name"] != two["display_name"]


@pytest.mark.usefixtures("image_cache")
def test_a_resumed_run_keeps_the_configuration_that_the_store_has(
    kfp: FakeKfp, tmp_path: Path
) -> None:
    send(tmp_path)
    # The first step fixed the fingerprints of the data.
    start(tmp_path)
    kfp.end(kfp.only_run()["run_id"], "FAILED")
    assert resume(RUN, str(tmp_path)).outcome == "submitted"
    assert send(tmp_path).outcome == "running"
    config = yaml.safe_load(list(kfp.runs.values())[1]["runtime_config"]["parameters"]["config"])
    assert config["protocol"]["task"]["fingerprint"]


def test_a_run_is_continued_with_its_own_configuration_only(kfp: FakeKfp, tmp_path: Path) -> None:
    send(tmp_path)
    profile = cluster_profile(tmp_path)
    with pytest.raises(InputError, match=r"another configuration \(seed is 0 there, 1 here\)"):
        submit(tiny_config(seed=1), profile, RUN, str(tmp_path), "kfp")
    assert len(kfp.runs) == 1


@pytest.mark.usefixtures("image_cache")
def test_a_finished_run_is_not_run_again(kfp: FakeKfp, tmp_path: Path) -> None:
    compute(tmp_path)
    assert send(tmp_path).outcome == "finished"
    assert kfp.requests == []


def test_a_submission_whose_answer_was_lost_is_found_again(kfp: FakeKfp, tmp_path: Path) -> None:
    kfp.experiments["one"] = {"experiment_id": "one", "display_name": "evoptim"}
    kfp.lose_next_answer = True
    result = send(tmp_path)
    assert result.submission is not None
    assert result.submission.engine_id == kfp.only_run()["run_id"]


def test_a_submission_that_was_not_remembered_is_found_again(kfp: FakeKfp, tmp_path: Path) -> None:
    send(tmp_path)
    (document,) = (tmp_path / "runs/tiny/submissions").iterdir()
    document.unlink()
    result = send(tmp_path)
    assert len(kfp.runs) == 1
    assert result.submission is not None
    assert result.submission.engine_id == kfp.only_run()["run_id"]


def test_two_stores_may_hold_runs_of_one_name(kfp: FakeKfp, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        send(tmp_path / name)
    assert len(kfp.runs) == 2
    assert len({run["display_name"] for run in kfp.runs.values()}) == 2


@pytest.mark.usefixtures("image_cache")
def test_watching_ends_when_the_report_is_there(kfp: FakeKfp, tmp_path: Path) -> None:
    sent(kfp, tmp_path)
    seen = []

    def work(found: RunStatus) -> None:
        seen.append(found)
        if len(seen) == 1:
            compute(tmp_path)

    last = watch(RUN, str(tmp_path), work, seconds=0.01)
    assert (seen[0].finished, seen[0].progress.done) == (False, 0)
    assert last.finished
    assert last.progress.done == last.progress.planned == 12


@pytest.mark.parametrize(
    ("state", "phase"),
    [
        ("SUCCEEDED", "succeeded"),
        ("FAILED", "failed"),
        ("CANCELED", "cancelled"),
        ("SKIPPED", "cancelled"),
        ("ERROR", "failed"),
    ],
)
def test_watching_ends_on_every_terminal_state(
    kfp: FakeKfp, tmp_path: Path, state: str, phase: str
) -> None:
    run = sent(kfp, tmp_path)

    def end(found: RunStatus) -> None:
        kfp.end(run, state)

    last = watch(RUN, str(tmp_path), end, seconds=0.01)
    assert last.engine is not None
    assert (last.engine.phase, last.finished) == (phase, False)


def test_watching_goes_on_while_a_run_is_cancelled_elsewhere_and_ends_then(
    kfp: FakeKfp, tmp_path: Path
) -> None:
    run = sent(kfp, tmp_path)
    # The workflow below a terminated run ends as failed.
    states = iter(["RUNNING", "PAUSED", "CANCELING", "CANCELING", "FAILED"])
    phases = []

    def go_on(found: RunStatus) -> None:
        assert found.engine is not None
        phases.append(found.engine.phase)
        kfp.end(run, next(states, "FAILED"))

    last = watch(RUN, str(tmp_path), go_on, seconds=0.01)
    assert last.engine is not None
    assert last.engine.phase == "cancelled"
    assert phases[1:5] == ["running", "suspended", "cancelling", "cancelling"]


def test_watching_ends_when_the_run_was_deleted(kfp: FakeKfp, tmp_path: Path) -> None:
    send(tmp_path)
    last = watch(RUN, str(tmp_path), lambda _: kfp.runs.clear(), seconds=0.01)
    assert last.engine is not None
    assert last.engine.phase == "gone"
    assert resume(RUN, str(tmp_path)).outcome == "submitted"


def test_watching_survives_a_server_that_is_away(kfp: FakeKfp, tmp_path: Path) -> None:
    run = sent(kfp, tmp_path)
    problems = []

    def go_on(found: RunStatus) -> None:
        problems.append(found.problem)
        if len(problems) == 1:
            # More than one look's patience.
            kfp.faults.extend(["503"] * 100)
        elif problems[-1] is not None:
            kfp.faults.clear()
            kfp.end(run, "FAILED")

    watch(RUN, str(tmp_path), go_on, seconds=0.01)
    assert any(isinstance(each, InfrastructureError) for each in problems)
    assert problems[-1] is None


def test_watching_a_server_that_stays_away_ends(
    kfp: FakeKfp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent(kfp, tmp_path)
    monkeypatch.setattr(watching, "FOLLOWING_SECONDS", 0.0)
    kfp.faults.extend(["503"] * 100)
    with pytest.raises(InfrastructureError, match="503 the server is told to fail"):
        watch(RUN, str(tmp_path), seconds=0.01)


def test_an_expired_token_ends_watching_and_leaves_the_run(kfp: FakeKfp, tmp_path: Path) -> None:
    sent(kfp, tmp_path)

    def expire(found: RunStatus) -> None:
        kfp.token = "a new one"

    with pytest.raises(InputError, match=r"expired; set KFP_TOKEN .* What runs goes on"):
        watch(RUN, str(tmp_path), expire, seconds=0.01)
    assert kfp.only_run()["state"] == "PENDING"


def test_a_token_is_taken_from_the_environment(
    kfp: FakeKfp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kfp.token = "t0ken"
    with pytest.raises(InputError, match="does not know these credentials"):
        send(tmp_path)
    monkeypatch.setenv("KFP_TOKEN", "t0ken")
    assert send(tmp_path).outcome == "submitted"
    for path in tmp_path.rglob("*.json"):
        assert "t0ken" not in path.read_text()


@pytest.mark.parametrize("fault", ["403", "400", "404"])
def test_a_refusal_is_the_users_to_correct(kfp: FakeKfp, tmp_path: Path, fault: str) -> None:
    kfp.faults.append(fault)
    with pytest.raises(InputError, match="told to fail"):
        send(tmp_path)
    assert last_submission(open_store(str(tmp_path)), RUN) is None


@pytest.mark.parametrize("fault", ["500", "503", "429", "reset"])
def test_a_fault_that_passes_is_tried_again(kfp: FakeKfp, tmp_path: Path, fault: str) -> None:
    kfp.faults.extend([fault] * 2)
    assert send(tmp_path).outcome == "submitted"


def test_a_login_page_in_place_of_the_api_is_named(kfp: FakeKfp, tmp_path: Path) -> None:
    kfp.page = "<html>Sign in with your identity provider</html>"
    with pytest.raises(InputError, match="answers with a page instead of KFP's API"):
        send(tmp_path)


def test_an_endpoint_that_is_not_there_is_named(
    kfp: FakeKfp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KFP_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        InfrastructureError, match=r"127\.0\.0\.1:9 cannot be reached.*KFP_ENDPOINT"
    ):
        send(tmp_path)


def test_a_certificate_must_be_trusted(
    kfp: FakeKfp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path)
    with fake_kfp(certificate) as server:
        monkeypatch.setenv("KFP_ENDPOINT", server.url)
        with pytest.raises(InputError, match=r"must present a trusted certificate.*KFP_CA_BUNDLE"):
            send(tmp_path)
        monkeypatch.setenv("KFP_CA_BUNDLE", str(certificate))
        assert send(tmp_path).outcome == "submitted"


def test_kfp_is_found_behind_the_cluster(kfp: FakeKfp, tmp_path: Path) -> None:
    with fake_cluster() as cluster:
        cluster.kfp = kfp
        kubeconfig = str(cluster.kubeconfig(tmp_path))
        environment = {**os.environ, "KUBECONFIG": kubeconfig}
        del environment["KFP_ENDPOINT"]
        program = (
            "from pipelines.submit import KfpEngine\n"
            "engine = KfpEngine()\n"
            "print(engine.address, engine.check('evoptim'))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        proxy = f"{cluster.url}/api/v1/namespaces/kubeflow/services/ml-pipeline:http/proxy"
        assert done.stdout.split() == [proxy, "single-user"]


def test_a_kubeconfig_of_another_cluster_does_not_stop_a_cancellation(
    kfp: FakeKfp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kfp.end(sent(kfp, tmp_path, fan_out="job"), "CANCELED")
    with fake_cluster() as cluster:
        monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig(tmp_path)))
        cluster.down = True
        result = cancel(RUN, str(tmp_path))
    assert result.state.phase == "cancelled"
    (remark,) = result.remarks
    assert remark.startswith("its Jobs cannot be seen: the API server of the cluster failed")


def test_without_an_endpoint_it_says_how_to_name_one(
    kfp: FakeKfp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KFP_ENDPOINT")
    with pytest.raises(InputError, match="set KFP_ENDPOINT"):
        send(tmp_path)


def test_a_submitted_run_is_followed_without_the_endpoint(
    kfp: FakeKfp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent(kfp, tmp_path)
    monkeypatch.delenv("KFP_ENDPOINT")
    found = status(RUN, str(tmp_path))
    assert found.engine is not None
    assert found.engine.phase == "pending"


def test_status_shows_the_progress_of_a_run_whose_engine_is_away(
    kfp: FakeKfp, tmp_path: Path
) -> None:
    sent(kfp, tmp_path)
    kfp.faults.extend(["503"] * 100)
    found = status(RUN, str(tmp_path))
    assert isinstance(found.problem, InfrastructureError)
    assert (found.engine, found.progress.planned) == (None, 12)


def test_cancelling_terminates_the_run_and_waits_for_its_end(kfp: FakeKfp, tmp_path: Path) -> None:
    sent(kfp, tmp_path)
    run = kfp.only_run()

    def end_soon() -> None:
        while run["state"] != "CANCELING":
            pass
        kfp.end(run["run_id"], "FAILED")

    thread = threading.Thread(target=end_soon)
    thread.start()
    result = cancel(RUN, str(tmp_path))
    thread.join()
    assert (result.state.phase, result.jobs) == ("cancelled", ())
    assert kfp.seen("POST", ":terminate") == 1


@pytest.mark.parametrize("state", ["FAILED", "SUCCEEDED", "CANCELED"])
def test_cancelling_what_has_ended_asks_for_nothing(
    kfp: FakeKfp, tmp_path: Path, state: str
) -> None:
    kfp.end(sent(kfp, tmp_path), state)
    cancel(RUN, str(tmp_path))
    assert kfp.seen("POST", ":terminate") == 0


def test_cancelling_a_run_that_was_deleted_is_no_error(kfp: FakeKfp, tmp_path: Path) -> None:
    sent(kfp, tmp_path)
    kfp.runs.clear()
    assert cancel(RUN, str(tmp_path)).state.phase == "gone"


def test_cancelling_says_what_does_not_end(
    kfp: FakeKfp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent(kfp, tmp_path)
    monkeypatch.setattr(cancelling, "_SECONDS", 0.05)
    with pytest.raises(InfrastructureError, match="kfp says cancelling"):
        cancel(RUN, str(tmp_path))


def test_without_the_cluster_it_says_that_jobs_cannot_be_seen(kfp: FakeKfp, tmp_path: Path) -> None:
    sent(kfp, tmp_path, fan_out="job")
    (remark,) = status(RUN, str(tmp_path)).remarks
    assert remark.startswith("its Jobs cannot be seen: no cluster can be reached")


def test_the_step_that_failed_first_is_named() -> None:
    details = [
        {"task_id": "1", "display_name": "root", "state": "FAILED", "end_time": "5"},
        {
            "task_id": "2",
            "parent_task_id": "1",
            "display_name": "select survivors",
            "state": "FAILED",
            "end_time": "4",
            "error": {"message": "exit code 2"},
        },
        {"task_id": "3", "parent_task_id": "1", "display_name": "propose", "state": "SUCCEEDED"},
    ]
    state = read_run({"state": "FAILED", "run_details": {"task_details": details}})
    step = state.failure()
    assert step is not None
    assert (step.name, step.message) == ("select survivors", "exit code 2")


def test_a_state_that_is_newer_than_this_client_is_no_end() -> None:
    assert read_run({"state": "HIBERNATING"}).ended is False
    assert read_run({}).phase == "pending"
