"""Whole searches, run by an interpreter of what we use of Argo."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_run
from argo_engine import Attempt
from argo_search import LOST, Object, Pods, Search, archive, assert_same_run
from kubernetes_api.scripted import FakeKubernetes, fake_kubernetes
from tiny_run import objects, tiny_config

from evoptim import steps
from evoptim.errors import InputError
from evoptim.verbs import results
from pipelines.profile import ClusterProfile


def test_a_search_gives_the_archive_of_the_steps(
    search: Search, pods: Pods, finished: Path
) -> None:
    engine = search()
    assert engine.run() == "Succeeded"
    assert_same_run(pods.store, finished)
    assert engine.mutexes == ["evoptim-tiny"]
    assert engine.log[-2:] == ["report Succeeded", "tell skipped"]
    # One pod for each evaluation, and no other training.
    assert sorted(pods.chunks("evaluate"), key=int) == [*"00112233", "4"]
    assert pods.chunks("evaluate-finals") == ["0", "1", "2"]
    assert engine.deepest == 4


@pytest.mark.slow
def test_a_search_gives_the_archive_of_evoptim_search(
    search: Search, pods: Pods, tmp_path: Path
) -> None:
    from evoptim.verbs import search as search_verb

    assert search().run() == "Succeeded"
    search_verb(tiny_config(), "tiny", str(tmp_path / "local"))
    assert_same_run(pods.store, tmp_path / "local")


def test_pods_are_labelled_by_run_and_stage(search: Search) -> None:
    engine = search(parameters={"candidates_per_task": "9"})
    assert engine.run() == "Succeeded"
    assert {each["evoptim.dev/run"] for each in engine.labels} == {"tiny"}
    stages = [each.get("evoptim.dev/stage") for each in engine.labels]
    assert stages == [None, *["g000"] * 3, *["g001"] * 3, *["finals"] * 2, None]
    components = [each["app.kubernetes.io/component"] for each in engine.labels]
    assert components.count("worker") == 3


def test_failures_of_the_cluster_change_nothing(search: Search, pods: Pods, finished: Path) -> None:
    gone = Attempt(None, message="pod deleted", phase="Error")
    pods.failures = {
        ("initialise", None): [Attempt(1)],
        ("propose", None): [gone, gone, gone, gone],
        ("evaluate", "1"): [Attempt(1), Attempt(137, message="OOMKilled")],
        ("evaluate", "2"): [gone, Attempt(143, message="main: Error (exit code 143)")],
        ("select", None): [Attempt(1, message="error: the store does not answer")],
        ("report", None): [gone],
    }
    # This one does all its work before it is lost.
    pods.after = {("evaluate", "2"), ("propose", None)}
    engine = search()
    assert engine.run() == "Succeeded"
    assert_same_run(pods.store, finished)
    assert not any(pods.failures.values())
    assert engine.pauses[:3] == [30.0, 30.0, 60.0]


def test_a_mistake_is_not_tried_again(search: Search, pods: Pods) -> None:
    engine = search(parameters={"config": "{}"})
    assert engine.run() == "Failed"
    assert engine.log == ["initialise Failed", "report skipped", "report Succeeded"]
    (told,) = (text for name, text in pods.outputs if name == "report")
    assert "not reported: there is no run 'tiny'" in told


def test_a_lost_chunk_does_not_vanish(search: Search, pods: Pods, finished: Path) -> None:
    pods.failures = {("evaluate", "3"): list(LOST)}
    engine = search()
    assert engine.run() == "Failed"
    workers = ClusterProfile().workers
    assert engine.log.count("evaluate Failed") == workers.retries + 1
    assert any("1 of 5 evaluations are missing (3)" in text for _, text in pods.outputs)
    name, told = pods.outputs[-1]
    assert name == "report"
    assert "the run 'tiny' is unfinished: 0 of 2 generations are selected" in told
    assert not (pods.store / "runs/tiny/report").exists()
    assert not (pods.store / "runs/tiny/generations/000/population.json").exists()
    # The next workflow trains what is missing, and nothing twice.
    pods.failures, pods.ran = {}, []
    assert search().run() == "Succeeded"
    assert pods.chunks("evaluate")[0] == "3"
    assert len(pods.chunks("evaluate")) == 1 + 4
    assert_same_run(pods.store, finished)


def test_a_lost_chunk_may_be_missing_as_the_run_allows(search: Search, pods: Pods) -> None:
    pods.failures = {("evaluate", "4"): list(LOST)}
    assert search(max_missing_fraction=0.2).run() == "Succeeded"
    entries = json.loads(archive(pods.store))["entries"]
    assert [each["outcome"] for each in entries].count("missing") == 1


def test_a_lost_finalist_is_missed_by_the_report(search: Search, pods: Pods) -> None:
    pods.failures = {("evaluate-finals", "1"): list(LOST)}
    engine = search()
    assert engine.run() == "Failed"
    assert "select Succeeded" in engine.log
    assert any("1 of 3 evaluations are missing (1)" in text for _, text in pods.outputs)
    pods.failures = {}
    assert search().run() == "Succeeded"


def test_a_report_that_fails_fails_the_workflow(search: Search, pods: Pods, finished: Path) -> None:
    pods.failures = {("report", None): list(LOST)}
    assert search().run() == "Failed"
    pods.failures, pods.ran = {}, []
    engine = search()
    assert engine.run() == "Succeeded"
    assert "generations skipped" in engine.log
    assert pods.chunks("evaluate") == []
    assert_same_run(pods.store, finished)


def test_a_finished_search_does_nothing_more(search: Search, pods: Pods) -> None:
    assert search().run() == "Succeeded"
    before, pods.ran = objects(pods.store), []
    engine = search()
    assert engine.run() == "Succeeded"
    assert objects(pods.store) == before
    assert "generations skipped" in engine.log
    assert [each[1] for each in pods.ran] == ["initialise", "propose-finals", "report"]


def test_a_search_goes_on_where_another_engine_left_it(
    search: Search, pods: Pods, finished: Path
) -> None:
    tiny_run.start(pods.store)
    tiny_run.generation(pods.store, 0)
    assert search().run() == "Succeeded"
    proposed = [each for each in pods.ran if each[1] == "propose"]
    assert [each[each.index("--generation") + 1] for each in proposed] == ["001"]
    assert_same_run(pods.store, finished)


# Something was removed


@pytest.fixture
def interrupted(finished: Path, pods: Pods) -> Path:
    """A run of which all is there but the report; returns its folder."""
    shutil.copytree(finished, pods.store)
    run = pods.store / "runs/tiny"
    shutil.rmtree(run / "report")
    return run


@pytest.mark.parametrize(
    "lost",
    [
        "generations/000/candidates.json",
        "generations/000/evaluations/00003.json",
        "generations/000/population.json",
        "generations/001/evaluations/00001.json",
        "finals/candidates.json",
        "finals/evaluations/00001.json",
    ],
)
def test_what_was_removed_is_made_again_as_by_the_pipeline(
    search: Search, pods: Pods, interrupted: Path, finished: Path, lost: str
) -> None:
    (interrupted / lost).unlink()
    assert search().run() == "Succeeded"
    assert_same_run(pods.store, finished)


def test_only_generations_that_lack_something_are_gone_through_again(
    search: Search, pods: Pods, interrupted: Path
) -> None:
    (interrupted / "generations/000/evaluations/00003.json").unlink()
    assert search().run() == "Succeeded"
    assert pods.chunks("evaluate") == ["3"]
    proposed = [each for each in pods.ran if each[1] == "propose"]
    assert [each[each.index("--generation") + 1] for each in proposed] == ["000"]


def test_a_chunk_that_stays_lost_is_tried_once_a_workflow(search: Search, pods: Pods) -> None:
    pods.failures = {("evaluate", "4"): list(LOST), ("report", None): list(LOST)}
    first = search(max_missing_fraction=0.2)
    assert first.run() == "Failed"
    assert first.log.count("select Succeeded") == 2
    again = search(max_missing_fraction=0.2)
    pods.failures = {("evaluate", "4"): list(LOST)}
    assert again.run() == "Succeeded"
    assert again.log.count("select Succeeded") == 1


@pytest.mark.parametrize("lost", ["generations/000", "finals"])
def test_a_stage_without_its_candidates_is_no_stage_less(
    interrupted: Path, pods: Pods, lost: str
) -> None:
    (interrupted / lost / "candidates.json").unlink()
    says = f"{lost} of the run 'tiny' has lost its candidates .*run the same search again"
    for read in (steps.report, read_results):
        with pytest.raises(InputError, match=says):
            read(str(pods.store), "tiny")


def read_results(store: str, run: str) -> None:
    results(run, store)


# By Indexed Jobs


@pytest.fixture
def kube(pods: Pods, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKubernetes]:
    """A cluster whose Jobs train."""
    # Pods have logs of their own: theirs must not be taken for what the step prints.
    training = sys.modules["evoptim.steps.evaluate"]
    monkeypatch.setattr(training, "print", lambda *_, **__: None, raising=False)

    def run(job: Object) -> None:
        (container,) = job["spec"]["template"]["spec"]["containers"]
        arguments = [each for each in container["args"] if each != "--wait"]
        given = dict(zip(arguments[2::2], arguments[3::2], strict=True))
        size = int(given["--candidates-per-task"])

        def task(index: int, environment: dict[str, str]) -> int:
            if arguments[1] == "evaluate":
                number = int(given["--generation"])
                steps.evaluate(given["--store"], given["--run"], number, index, size, wait=True)
            else:
                steps.evaluate_finals(given["--store"], given["--run"], index, size)
            return 0

        kube.run_indices(job, task)

    with fake_kubernetes() as kube:
        kube.on_create = lambda job: threading.Thread(target=run, args=(job,)).start()
        monkeypatch.setenv("KUBECONFIG", str(kube.kubeconfig(tmp_path)))
        yield kube


def test_a_search_by_jobs_gives_the_same_archive(
    search: Search, pods: Pods, finished: Path, kube: FakeKubernetes
) -> None:
    gone = Attempt(None, message="pod deleted", phase="Error")
    pods.failures = {("run-generation", None): [gone]}
    engine = search(fan_out="job")
    assert engine.run() == "Succeeded"
    assert_same_run(pods.store, finished)
    assert [job["spec"]["completions"] for job in kube.created] == [5, 4, 3]
    assert pods.chunks("evaluate") == []
