"""The command line of a run on a cluster: what it prints, and with what it ends."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from cluster_run import RUN, SETTINGS, cluster_profile, remember
from kubernetes_api.scripted_engines import FakeCluster, fake_cluster
from s3_server import BUCKET, S3Server, serve_s3
from tiny_run import tiny_config

from evoptim import steps
from evoptim.cli import main
from evoptim.verbs.cluster import cancelling, servers
from pipelines.submit import follow_logs


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with serve_s3() as server:
        server.create_bucket()
        yield server


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeCluster]:
    for name in ("KUBERNETES_SERVICE_HOST", "KFP_ENDPOINT", "EVOPTIM_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(servers, "_SECONDS", 0.3)
    monkeypatch.setattr(cancelling, "_POLL_SECONDS", 0.01)
    with fake_cluster() as fake:
        monkeypatch.setenv("KUBECONFIG", str(fake.kubeconfig(tmp_path)))
        yield fake


def evoptim(*arguments: str) -> Result:
    # The command takes SIGTERM for itself.
    before = signal.getsignal(signal.SIGTERM)
    try:
        return CliRunner().invoke(main, arguments)
    finally:
        signal.signal(signal.SIGTERM, before)


def files(folder: Path) -> list[str]:
    """A profile and a configuration as options."""
    settings: dict[str, object] = {}
    for path, value in SETTINGS.items():
        *parents, last = path.split(".")
        at = settings
        for parent in parents:
            at = at.setdefault(parent, {})  # type: ignore[assignment]
        at[last] = value
    (folder / "run.yaml").write_text(yaml.safe_dump(settings))
    (folder / "profile.yaml").write_text(cluster_profile(folder / "store").model_dump_json())
    return ["--profile", str(folder / "profile.yaml"), "--config", str(folder / "run.yaml")]


def compute(url: str) -> None:
    """What the pods do."""
    steps.initialise(url, RUN, tiny_config().model_dump_json())
    for number in range(2):
        for chunk in steps.propose(url, RUN, number, 5):
            steps.evaluate(url, RUN, number, chunk, 5)
        steps.select(url, RUN, number)
    for chunk in steps.propose_finals(url, RUN, 5):
        steps.evaluate_finals(url, RUN, chunk, 5)
    steps.report(url, RUN)


@pytest.mark.usefixtures("image_cache")
def test_a_run_from_its_submission_to_its_results_on_s3(
    cluster: FakeCluster, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    url = f"s3://{BUCKET}/cli"
    monkeypatch.setenv("EVOPTIM_STORE", url)
    given = [*files(tmp_path), "--target", "argo", "--run", RUN]
    sent = evoptim("submit", *given)
    assert sent.exit_code == 0, sent.output
    (name,) = cluster.workflows
    assert sent.stdout.splitlines() == [
        f"Submitted the run tiny as {name} (argo, evoptim)",
        f"Follow it: evoptim watch --run tiny --store {url}",
    ]
    again = evoptim("submit", *given)
    assert again.stdout.startswith("At work already: the run tiny as evoptim-tiny-0-")
    assert "0 of 12 evaluations" in evoptim("status", "--run", RUN).stdout
    cluster.end_workflow("Running")
    compute(url)
    watched = evoptim("watch", "--run", RUN, "--seconds", "0.1")
    assert watched.exit_code == 0, watched.output
    assert "12 of 12 evaluations, finals, best" in watched.stdout
    assert f"next       evoptim results --run tiny --store {url}" in watched.stdout
    ranked = evoptim("results", "--run", RUN, "--store", url, "--json")
    assert len(json.loads(ranked.stdout)["entries"]) == 9
    assert "finished already" in evoptim("submit", *given).stdout
    assert evoptim("report", "--run", RUN, "-o", str(tmp_path / "report.html")).exit_code == 0


def test_status_prints_what_is_known(cluster: FakeCluster, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    submission = remember(store, "argo", "uid", cluster.url)
    cluster.workflows[submission.name] = {
        "metadata": {"uid": "uid"},
        "spec": {},
        "status": {
            "phase": "Failed",
            "message": "child failed",
            "nodes": {
                "n": {
                    "id": "n",
                    "name": "n",
                    "displayName": "select",
                    "type": "Pod",
                    "phase": "Failed",
                    "message": "Error (exit code 1)",
                }
            },
        },
    }
    found = evoptim("status", "--run", RUN, "--store", str(store))
    assert found.exit_code == 0, found.output
    assert found.stdout.splitlines() == [
        "run        tiny",
        "progress   0 of 12 evaluations",
        "engine     argo: failed (child failed)",
        f"sent       2026-01-01T00:00:00+00:00 as {submission.name}, evoptim",
        "failed at  select: Error (exit code 1)",
    ]
    told = json.loads(evoptim("status", "--run", RUN, "--store", str(store), "--json").stdout)
    assert (told["ended"], told["finished"]) == (True, False)
    assert told["engine"]["phase"] == "failed"
    assert told["submission"]["name"] == submission.name
    watched = evoptim("watch", "--run", RUN, "--store", str(store))
    assert watched.exit_code == 1
    assert watched.stderr.splitlines()[-1] == (
        "error: the run tiny failed at select (Error (exit code 1)): see evoptim logs --run tiny "
        f"--store {store}, then evoptim resume --run tiny --store {store}"
    )


@pytest.mark.parametrize(
    ("phase", "spec", "text"),
    [
        ("Succeeded", {}, "the engine says that the run tiny succeeded, but its report is not in"),
        ("Failed", {"shutdown": "Terminate"}, "the run tiny was cancelled"),
        (None, {}, "the run tiny was deleted from its engine"),
    ],
)
def test_a_run_that_ended_without_a_report_ends_watching_with_an_error(
    cluster: FakeCluster, tmp_path: Path, phase: str | None, spec: dict[str, str], text: str
) -> None:
    store = tmp_path / "store"
    store.mkdir()
    submission = remember(store, "argo", "uid", cluster.url)
    if phase is not None:
        workflow = {"metadata": {"uid": "uid"}, "spec": spec, "status": {"phase": phase}}
        cluster.workflows[submission.name] = workflow
    watched = evoptim("watch", "--run", RUN, "--store", str(store))
    assert watched.exit_code == 1
    assert text in watched.stderr


def test_status_of_an_engine_that_is_away_prints_the_progress_and_ends_with_1(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    store.mkdir()
    remember(store, "argo", "uid", cluster.url)
    cluster.down = True
    found = evoptim("status", "--run", RUN, "--store", str(store))
    assert found.exit_code == 1
    assert "progress   0 of 12 evaluations" in found.stdout
    assert "engine     argo: not asked" in found.stdout
    assert "run the same command again when it is back" in found.stderr


def test_logs_and_cancel_print_what_they_found(cluster: FakeCluster, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    submission = remember(store, "argo", "uid", cluster.url)
    workflow = {"metadata": {"uid": "uid"}, "spec": {}, "status": {"phase": "Failed"}}
    cluster.workflows[submission.name] = workflow
    at = ("--run", RUN, "--store", str(store))
    empty = evoptim("logs", *at)
    assert (empty.exit_code, empty.stdout) == (0, "")
    assert "The cluster has no pod of the run" in empty.stderr
    labels = {"workflows.argoproj.io/workflow": submission.name}
    cluster.put_pod("p", "Failed", labels, reason="Evicted", log="one\ntwo\n")
    found = evoptim("logs", *at)
    assert found.stdout == "==> p, Failed: Evicted\none\ntwo\n"
    ended = evoptim("cancel", *at)
    assert ended.stdout.splitlines() == [
        "The run tiny is failed; nothing of it is at work.",
        f"To go on: evoptim resume --run tiny --store {store}",
    ]


def test_followed_logs_are_headed_where_the_pod_changes_and_end_with_the_run(
    cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    store.mkdir()
    submission = remember(store, "argo", "uid", cluster.url)
    workflow = {"metadata": {"uid": "uid"}, "spec": {}, "status": {"phase": "Running"}}
    cluster.workflows[submission.name] = workflow
    labels = {"workflows.argoproj.io/workflow": submission.name}
    cluster.put_pod("p", "Running", labels, log="one\n")

    def look(seconds: float) -> None:
        cluster.logs["p"] += "two\n"
        cluster.put_pod("q", "Running", labels, log="three\n")
        cluster.end_workflow("Failed")

    monkeypatch.setattr(follow_logs.time, "sleep", look)
    found = evoptim("logs", "--run", RUN, "--store", str(store), "--follow")
    assert found.exit_code == 0, found.output
    assert found.stdout == "==> p, Running\none\ntwo\n==> q, Running\nthree\n"
    assert f"The run tiny has ended: evoptim status --run tiny --store {store}" in found.stderr


@pytest.mark.parametrize(
    "text", ["apiVersion: [", "clusters: 3\n", "- a\n", "\x00", "current-context: gone\n"]
)
@pytest.mark.parametrize("target", ["argo", "kfp"])
def test_a_file_that_is_no_kubeconfig_is_named(
    cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: Any, text: str
) -> None:
    (tmp_path / "store").mkdir()
    remember(tmp_path / "store", target, "uid", "")
    (tmp_path / "kubeconfig").write_text(text)
    found = evoptim("cancel", "--run", RUN, "--store", str(tmp_path / "store"))
    assert found.exit_code == 2, found.output
    assert "KUBECONFIG" in found.stderr
    assert len(found.stderr.splitlines()) == 1


def test_a_profile_without_end_is_refused() -> None:
    found = evoptim("doctor", "--profile", "/dev/zero")
    assert found.exit_code == 2
    assert "the profile may have 65536 characters, and has more" in found.stderr


@pytest.mark.parametrize("verb", ["logs --follow", "watch", "cancel"])
def test_interrupting_says_what_becomes_of_the_run(
    cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    store = tmp_path / "store"
    store.mkdir()
    submission = remember(store, "argo", "uid", cluster.url)
    workflow = {"metadata": {"uid": "uid"}, "spec": {}, "status": {"phase": "Running"}}
    cluster.workflows[submission.name] = workflow

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cancelling.time, "sleep", interrupt)
    found = evoptim(*verb.split(), "--run", RUN, "--store", str(store))
    assert found.exit_code == 130
    told = {"cancel": "Run the same command again to end what is left of it"}
    assert told.get(verb, "the run goes on") in found.stderr.replace("\n", " ")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["submit"], "Missing option '--target'"),
        (["submit", "--target", "slurm"], "'slurm' is not one of 'kfp', 'argo'"),
        (["status", "--run", "x"], "Missing option '--store'"),
        (["watch", "--store", "s"], "Missing option '--run'"),
        (["doctor"], "Missing option '--profile'"),
        (["doctor", "--profile", "none.yaml"], "the profile 'none.yaml' cannot be read"),
        (["logs", "--run", "x", "--store", "nowhere"], "there is no run 'x' in"),
        (["resume", "--run", "No", "--store", "nowhere"], "a run name must be"),
    ],
)
def test_what_is_given_wrongly_ends_with_2(
    cluster: FakeCluster,
    arguments: list[str],
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    found = evoptim(*arguments)
    assert found.exit_code == 2
    assert text in found.stderr
    assert len(found.stderr.splitlines()) == 1


def test_images_are_named_by_their_path_in_the_pods(cluster: FakeCluster, tmp_path: Path) -> None:
    at = ["--target", "argo", "--store", str(tmp_path / "store"), "--data", "images.zip"]
    found = evoptim("submit", *files(tmp_path), *at)
    assert found.exit_code == 2
    assert "a path in the pods, and absolute there, got 'images.zip'" in found.stderr


@pytest.mark.parametrize(
    "verb", ["submit", "status", "watch", "logs", "cancel", "resume", "doctor"]
)
def test_help_teaches_by_example(verb: str) -> None:
    found = evoptim(verb, "--help")
    assert found.exit_code == 0
    assert "Examples:" in found.stdout
    assert f"evoptim {verb} --" in found.stdout


def test_doctor_prints_a_line_each_and_ends_with_1_where_something_fails(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    (tmp_path / "store").mkdir()
    at = [*files(tmp_path)[:2], "--target", "argo", "--store", str(tmp_path / "store")]
    found = evoptim("doctor", *at)
    assert found.exit_code == 1
    lines = found.stdout.splitlines()
    assert lines[0].startswith(f"ok    API server   {cluster.url} answers, Kubernetes v1.33.1")
    assert any(line.startswith("FAIL  namespace    there is no namespace") for line in lines)
    assert lines[-1].endswith("failed")
    told = json.loads(evoptim("doctor", *at, "--image", "example.org/other:2", "--json").stdout)
    about = [each["told"] for each in told["findings"] if each["check"] == "image"]
    assert about == ["nothing has pulled example.org/other:2 in evoptim lately"]
    assert told["failed"] == sum(each["verdict"] == "failed" for each in told["findings"]) > 0
