"""A generation in one process: its Job is made first, so that pods start while it proposes."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import tiny_run
from fanout_drive import QUICK, STAGE, Drive, missing, trains
from kfp import dsl
from kubernetes_api.scripted import FakeKubernetes, pod
from step_process import running

from evoptim import steps
from evoptim.errors import InfrastructureError, InputError
from evoptim.evolution import Firsts
from evoptim.steps import ahead as ahead_module
from evoptim.steps import parts, scores
from evoptim.steps.reading import read_config, read_stages
from evoptim.store import open_store
from evoptim.store.layout import candidates_key, evaluation_key, population_key
from pipelines.fanout import evaluate_fanout
from pipelines.generation import run_generation
from pipelines.generation_component import run_generation as run_generation_component
from pipelines.kubernetes_api import Cluster


@pytest.fixture
def begun(tmp_path: Path, image_cache: None) -> Path:
    """A store with a run of which nothing is proposed."""
    store = tmp_path / "begun"
    tiny_run.start(store)
    return store


@pytest.fixture
def ahead(begun: Path, cluster: Cluster) -> Drive:
    return Drive(begun, cluster)


def run(drive: Drive, number: int = 0) -> None:
    run_generation(
        str(drive.store),
        "tiny",
        number,
        1,
        drive.profile,
        cluster=drive.cluster,
        pace=QUICK,
        log=drive.lines.append,
    )


def evaluate(drive: Drive, propose: Any) -> None:
    evaluate_fanout(
        str(drive.store),
        "tiny",
        STAGE,
        1,
        drive.profile,
        propose=propose,
        cluster=drive.cluster,
        pace=QUICK,
        log=drive.lines.append,
    )


def is_there(drive: Drive, key: str) -> bool:
    return open_store(str(drive.store)).exists(key)


def test_a_generation_is_proposed_trained_and_selected(
    kube: FakeKubernetes, ahead: Drive, tmp_path: Path
) -> None:
    kube.controller(trains(ahead.store))
    run(ahead)
    assert [job["spec"]["completions"] for job in kube.created] == [5]
    assert missing(ahead.store) == ()
    expected = tmp_path / "expected"
    tiny_run.start(expected)
    tiny_run.generation(expected, 0)
    assert tiny_run.deterministic(ahead.store) == tiny_run.deterministic(expected)


def test_the_job_is_there_before_the_candidates(kube: FakeKubernetes, ahead: Drive) -> None:
    kube.controller(trains(ahead.store))
    jobs: list[int] = []

    def propose() -> None:
        jobs.append(len(kube.created))
        steps.propose(str(ahead.store), "tiny", 0, 1)

    evaluate(ahead, propose)
    assert jobs == [1]
    assert missing(ahead.store) == ()


def test_where_candidates_are_there_nothing_starts_before_it_is_known_to_be_needed(
    kube: FakeKubernetes, drive: Drive
) -> None:
    for chunk in range(5):
        steps.evaluate(str(drive.store), "tiny", 0, chunk, 1)
    run(drive)
    assert kube.created == []
    assert is_there(drive, population_key("tiny", 0))


def test_only_what_is_missing_is_trained_where_candidates_are_there(
    kube: FakeKubernetes, drive: Drive
) -> None:
    kube.controller(trains(drive.store))
    steps.evaluate(str(drive.store), "tiny", 0, 2, 1)
    run(drive)
    assert [job["spec"]["completions"] for job in kube.created] == [4]


@pytest.mark.parametrize("error", [InputError("exhausted"), ValueError("a bug")])
def test_where_nothing_is_proposed_the_job_is_deleted_and_the_error_stands(
    kube: FakeKubernetes, ahead: Drive, error: Exception
) -> None:
    def propose() -> None:
        raise error

    with pytest.raises(type(error), match=str(error)):
        evaluate(ahead, propose)
    assert len(kube.created) == 1
    kube.wait_for(lambda: not kube.jobs())
    (options,) = kube.deletions
    assert options["propagationPolicy"] == "Foreground"
    assert ahead.lines[-1].startswith("generations/000: nothing is proposed: deletes the Job")


def test_a_cluster_that_is_gone_does_not_hide_why_nothing_is_proposed(
    kube: FakeKubernetes, ahead: Drive
) -> None:
    def propose() -> None:
        kube.fail(*[503] * 1_000)
        raise InfrastructureError("the store is gone")

    with pytest.raises(InfrastructureError, match="the store is gone"):
        evaluate(ahead, propose)


def test_the_job_of_a_step_that_died_while_it_proposed_is_adopted(
    kube: FakeKubernetes, ahead: Drive
) -> None:
    class Died(BaseException):
        pass

    def dies() -> None:
        raise Died

    with pytest.raises(Died):
        evaluate(ahead, dies)
    assert len(kube.jobs()) == 1
    job, task = kube.created[0], trains(ahead.store)
    threading.Thread(target=kube.run_indices, args=(job, task), daemon=True).start()
    run(ahead)
    assert len(kube.created) == 1
    assert missing(ahead.store) == ()
    assert any("adopted the Job" in line for line in ahead.lines)


def test_too_many_failures_of_the_early_job_are_judged_as_of_any_other(
    kube: FakeKubernetes, ahead: Drive
) -> None:
    kube.controller(lambda index, environment: 1)
    with pytest.raises(InfrastructureError, match="5 of 5 chunks of generations/000 have no"):
        run(ahead)
    assert len(kube.created) == 1


def test_the_component_of_kfp_does_the_same_and_shows_metrics(
    kube: FakeKubernetes, ahead: Drive
) -> None:
    """``connect`` finds the cluster by KUBECONFIG."""
    kube.controller(trains(ahead.store))
    metrics = dsl.Metrics()
    component: Any = run_generation_component
    component.python_func(str(ahead.store), "tiny", 0, 1, ahead.profile.canonical_json(), metrics)
    assert missing(ahead.store) == ()
    assert metrics.metadata == steps.population_metrics(str(ahead.store), "tiny", 0)


# Interrupted

_PROGRAM = """
import sys, time
from evoptim.store import Stage
from pipelines.fanout import Pace, evaluate_fanout
from pipelines.profile import ClusterProfile
def propose():
    time.sleep(600)
pace = Pace(breath=0.01)
stage = Stage.generation(0)
evaluate_fanout(sys.argv[1], "tiny", stage, 1, ClusterProfile(), propose=propose, pace=pace)
"""


@pytest.fixture
def proposing(kube: FakeKubernetes, begun: Path, tmp_path: Path) -> Iterator[Any]:
    with running(_PROGRAM, begun, kube, tmp_path) as process:
        yield process


def test_interrupted_while_it_proposes_it_deletes_the_job(
    kube: FakeKubernetes, proposing: Any
) -> None:
    kube.put("pods", pod("the-driver", "", "Running"))
    kube.wait_for(lambda: bool(kube.created), 60)
    proposing.send_signal(signal.SIGTERM)
    output, _ = proposing.communicate(timeout=60)
    assert proposing.returncode != 0
    assert "interrupted: deletes the Job" in output
    kube.wait_for(lambda: not kube.jobs())


def test_evicted_while_it_proposes_it_leaves_the_job_to_the_next(
    kube: FakeKubernetes, proposing: Any
) -> None:
    disrupted = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    kube.put("pods", pod("the-driver", "", "Running", conditions=[disrupted]))
    kube.wait_for(lambda: bool(kube.created), 60)
    proposing.send_signal(signal.SIGTERM)
    output, _ = proposing.communicate(timeout=60)
    assert "is being moved" in output
    assert len(kube.jobs()) == 1


_DROPS = """
import os, signal, sys, time
from evoptim import steps
from evoptim.store import Stage
from pipelines.fanout import Pace, evaluate_fanout
from pipelines.profile import ClusterProfile
def propose():
    steps.propose(sys.argv[1], "tiny", 0, 1)
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(600)
    except KeyboardInterrupt:
        pass
pace = Pace(breath=0.01)
stage = Stage.generation(0)
evaluate_fanout(sys.argv[1], "tiny", stage, 1, ClusterProfile(), propose=propose, pace=pace)
"""


def test_an_interruption_that_is_dropped_on_its_way_is_not_lost(
    kube: FakeKubernetes, begun: Path, tmp_path: Path
) -> None:
    """As Python drops one that comes while it collects garbage."""
    kube.put("pods", pod("the-driver", "", "Running"))
    with running(_DROPS, begun, kube, tmp_path) as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "interrupted: deletes the Job" in output
    kube.wait_for(lambda: not kube.jobs())


# What pods do meanwhile


def test_a_pod_that_is_there_first_waits_for_its_candidates(begun: Path) -> None:
    done: list[None] = []

    def train() -> None:
        steps.evaluate(str(begun), "tiny", 0, 2, 1, wait=True)
        done.append(None)

    thread = threading.Thread(target=train, daemon=True)
    thread.start()
    thread.join(0.5)
    assert thread.is_alive()
    steps.propose(str(begun), "tiny", 0, 1)
    thread.join(60)
    assert done == [None]
    assert missing(begun) == (0, 1, 3, 4)


def test_no_pod_waits_for_ever(begun: Path) -> None:
    from evoptim.steps.waiting import wait_for_candidates

    store, keys = open_store(str(begun)), [candidates_key("tiny", STAGE)]
    with pytest.raises(InfrastructureError, match=r"chunk 2 has no candidates after 0 s: the step"):
        wait_for_candidates(store, keys, "chunk 2", most=0.2, poll=0.05)


@contextmanager
def proposing_halts(store: Path, monkeypatch: pytest.MonkeyPatch, index: int) -> Iterator[None]:
    """Candidates are proposed, in parts of two, up to an index, and the rest in the end."""
    monkeypatch.setattr(parts, "CANDIDATES_IN_PART", 2)
    go_on = threading.Event()
    original = Firsts.mark

    def mark(self: Firsts, candidates: Any, generation: int) -> Iterator[Any]:
        for each in original(self, candidates, generation):
            if each.index == index:
                assert go_on.wait(60)
            yield each

    monkeypatch.setattr(Firsts, "mark", mark)
    proposer = threading.Thread(target=steps.propose, args=(str(store), "tiny", 0, 1), daemon=True)
    proposer.start()
    try:
        yield
    finally:
        go_on.set()
        proposer.join(60)


def test_pods_begin_with_the_candidates_that_are_there(
    begun: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proposing_halts(begun, monkeypatch, 4):
        steps.evaluate(str(begun), "tiny", 0, 1, 1, wait=True)
        store = open_store(str(begun))
        assert store.exists(evaluation_key("tiny", STAGE, 1))
        assert not store.exists(candidates_key("tiny", STAGE))
        # Whoever looks at the run meanwhile finds nothing wrong with it.
        assert read_stages(store, "tiny", read_config(store, "tiny")) == ()
    assert missing(begun) == (0, 2, 3, 4)


def test_a_pod_of_many_candidates_trains_the_first_before_the_last_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image_cache: None
) -> None:
    tiny_run.start(tmp_path, search__initial=16)
    store = open_store(str(tmp_path))
    pod = threading.Thread(
        target=steps.evaluate, args=(str(tmp_path), "tiny", 0, 1, 8), kwargs={"wait": True}
    )
    with proposing_halts(tmp_path, monkeypatch, 4):
        pod.start()
        # Its chunk is 1, of the head of the stage, and 9 to 15.
        eventually(lambda: store.exists(evaluation_key("tiny", STAGE, 1)))
        assert not store.exists(candidates_key("tiny", STAGE))
    pod.join(60)
    there = [store.exists(evaluation_key("tiny", STAGE, index)) for index in range(16)]
    assert [index for index, is_there in enumerate(there) if is_there] == [1, *range(9, 16)]


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# Reading meanwhile


def evaluated_and_looked_at_often(
    drive: Drive, monkeypatch: pytest.MonkeyPatch, chunks: int
) -> None:
    monkeypatch.setattr(ahead_module, "PAUSE_SECONDS", 0.01)
    for chunk in range(chunks):
        steps.evaluate(str(drive.store), "tiny", 0, chunk, 1)


def test_a_selection_reads_no_evaluation_that_was_read_meanwhile(
    drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated_and_looked_at_often(drive, monkeypatch, 4)
    with steps.read_ahead(str(drive.store), "tiny", STAGE) as ahead:
        eventually(lambda: len(ahead.scores) == 4)
    steps.evaluate(str(drive.store), "tiny", 0, 4, 1)
    read: list[str] = []
    original = scores.scores_here

    def listen(store: Any, keys: Any) -> Any:
        read.extend(keys)
        return original(store, keys)

    monkeypatch.setattr(scores, "scores_here", listen)
    steps.select(str(drive.store), "tiny", 0, ahead=ahead)
    assert read == [evaluation_key("tiny", STAGE, 4)]
    population = (drive.store / population_key("tiny", 0)).read_bytes()
    (drive.store / population_key("tiny", 0)).unlink()
    steps.select(str(drive.store), "tiny", 0)
    assert (drive.store / population_key("tiny", 0)).read_bytes() == population


def test_what_is_no_evaluation_is_left_to_the_selection(
    drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated_and_looked_at_often(drive, monkeypatch, 5)
    folder = drive.store / "runs/tiny/generations/000/evaluations"
    (folder / "notes.txt").write_text("somebody's")
    torn = folder / "00003.json"
    torn.write_bytes(torn.read_bytes()[:40])
    with steps.read_ahead(str(drive.store), "tiny", STAGE) as ahead:
        eventually(lambda: len(ahead.scores) == 3)
    assert sorted(ahead.scores) == [evaluation_key("tiny", STAGE, index) for index in range(3)]
    with pytest.raises(InputError, match=r"00003\.json is not"):
        steps.select(str(drive.store), "tiny", 0, ahead=ahead)


def test_a_step_that_was_not_told_to_wait_does_not(begun: Path) -> None:
    with pytest.raises(InputError, match="has no candidates yet"):
        steps.evaluate(str(begun), "tiny", 0, 0, 1)
    assert not open_store(str(begun)).exists(candidates_key("tiny", STAGE))
