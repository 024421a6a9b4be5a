"""The driver of the Indexed Job, through the real client, against a server that misbehaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_run
from kubernetes_api.scripted import FakeKubernetes, failed_pod, fake_kubernetes, pod

from evoptim import steps
from evoptim.errors import InfrastructureError, InputError
from evoptim.steps.chunks import CHUNKS_VARIABLE, chunk_at
from evoptim.store import Stage
from pipelines.fanout import Pace, evaluate_fanout
from pipelines.job import SPEC_ANNOTATION, Work, build_job
from pipelines.kubernetes_api import Cluster, Patience, connect
from pipelines.profile import ClusterProfile
from pipelines.profile_reading import read_profile

QUICK = Pace(report=1.0, breath=0.01, settle=0.3, vanish=5.0)
STAGE = Stage.generation(0)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def kube() -> Iterator[FakeKubernetes]:
    with fake_kubernetes() as cluster:
        yield cluster


@pytest.fixture
def cluster(kube: FakeKubernetes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setenv("KUBECONFIG", str(kube.kubeconfig(tmp_path)))
    return connect(Patience(total=5.0, first=0.01, longest=0.05))


@pytest.fixture
def proposed(tmp_path: Path, image_cache: None) -> Path:
    """A store with a run whose generation 0 has five candidates and no evaluation."""
    store = tmp_path / "store"
    tiny_run.start(store)
    steps.propose(str(store), "tiny", 0, 1)
    return store


class Drive:
    """One call of the driver."""

    def __init__(self, store: Path, cluster: Cluster) -> None:
        self.store = store
        self.cluster = cluster
        self.lines: list[str] = []
        self.profile = read_profile(settings={"workers.retries": 1, "max_failed_fraction": 0.0})

    def __call__(self, **changes: Any) -> None:
        settings = {**self.profile.settings(), **changes}
        profile = ClusterProfile.model_validate_json(json.dumps(settings))
        evaluate_fanout(
            str(self.store),
            "tiny",
            STAGE,
            1,
            profile,
            cluster=self.cluster,
            pace=QUICK,
            log=self.lines.append,
        )

    def in_background(self, **changes: Any) -> tuple[threading.Thread, list[BaseException]]:
        errors: list[BaseException] = []

        def call() -> None:
            try:
                self(**changes)
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=call, daemon=True)
        thread.start()
        return thread, errors


@pytest.fixture
def drive(proposed: Path, cluster: Cluster) -> Drive:
    return Drive(proposed, cluster)


def trains(store: Path) -> Callable[[int, dict[str, str]], int]:
    """What a pod does: it evaluates the chunk of its index."""

    def task(index: int, environment: dict[str, str]) -> int:
        chunk = chunk_at(index, environment.get(CHUNKS_VARIABLE))
        steps.evaluate(str(store), "tiny", 0, chunk, 1)
        return 0

    return task


def missing(store: Path) -> tuple[int, ...]:
    return steps.missing_chunks(str(store), "tiny", STAGE, 1).chunks


def test_every_chunk_is_evaluated_by_one_job(kube: FakeKubernetes, drive: Drive) -> None:
    kube.controller(trains(drive.store))
    drive()
    assert missing(drive.store) == ()
    (job,) = kube.created
    assert job["spec"]["completions"] == 5
    assert "created the Job" in drive.lines[0]
    assert "5 of 5 chunks evaluated" in drive.lines[-1]


def test_nothing_is_asked_of_the_cluster_where_all_is_evaluated(
    kube: FakeKubernetes, drive: Drive
) -> None:
    for chunk in range(5):
        steps.evaluate(str(drive.store), "tiny", 0, chunk, 1)
    drive()
    assert kube.requests == []
    assert drive.lines == ["generations/000: all 5 chunks are evaluated already"]


def test_only_what_is_missing_is_evaluated(kube: FakeKubernetes, drive: Drive) -> None:
    for chunk in (0, 2, 3):
        steps.evaluate(str(drive.store), "tiny", 0, chunk, 1)
    kube.controller(trains(drive.store))
    drive()
    (job,) = kube.created
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert {"name": CHUNKS_VARIABLE, "value": "1,4"} in container["env"]
    assert job["spec"]["completions"] == 2
    assert missing(drive.store) == ()


@pytest.mark.parametrize(
    "faults",
    [
        [("500", "GET"), ("503", "POST"), ("502", "WATCH")],
        [("reset", "GET"), ("reset", "POST"), ("reset", "WATCH")],
        [("truncate", "GET"), ("truncate", "WATCH"), ("truncate", "GET")],
        [("expire", "WATCH"), ("410", "WATCH"), ("expire", "WATCH")],
        [("429", "GET"), ("429", "POST"), ("429", "WATCH")],
    ],
    ids=["5xx", "resets", "torn answers", "410 Gone", "throttled"],
)
def test_faults_between_us_and_the_api_change_nothing(
    kube: FakeKubernetes, drive: Drive, faults: list[tuple[str, str]]
) -> None:
    for action, method in faults:
        kube.fail(action, method=method, headers=(("Retry-After", "0"),))
    train = trains(drive.store)

    def task(index: int, environment: dict[str, str]) -> int:
        # A Job that ends early would leave faults that nobody met.
        deadline = time.monotonic() + 30
        while kube.faults and time.monotonic() < deadline:
            time.sleep(0.01)
        return train(index, environment)

    kube.controller(task)
    drive()
    assert missing(drive.store) == ()
    assert not kube.faults
    assert len(kube.created) == 1


def test_a_job_whose_creation_was_answered_by_nobody_is_adopted(
    kube: FakeKubernetes, drive: Drive
) -> None:
    kube.fail("reset", method="POST", after=True)
    kube.controller(trains(drive.store))
    drive()
    assert len(kube.created) == 1
    assert missing(drive.store) == ()
    assert any("adopted the Job" in line for line in drive.lines)


def test_an_api_server_that_is_away_for_a_while_is_waited_for(
    kube: FakeKubernetes, drive: Drive
) -> None:
    kube.controller(trains(drive.store))
    kube.on_create, run = (lambda job: None), kube.on_create
    thread, errors = drive.in_background()
    kube.wait_for(lambda: kube.created and kube.seen("WATCH"))
    kube.down = True
    kube.wait_for(lambda: kube.seen("GET", kube.created[0]["metadata"]["name"]) > 4)
    run(kube.created[0])
    kube.down = False
    thread.join(20)
    assert errors == []
    assert missing(drive.store) == ()


def test_an_api_server_that_stays_away_is_an_infrastructure_error(
    kube: FakeKubernetes, drive: Drive
) -> None:
    kube.down = True
    drive.cluster = connect(Patience(total=0.3, first=0.01, longest=0.05))
    with pytest.raises(InfrastructureError, match="the API server of the cluster failed for"):
        drive()


def test_the_job_of_a_driver_that_died_is_adopted(kube: FakeKubernetes, drive: Drive) -> None:
    work = Work(str(drive.store), "tiny", STAGE, 1)
    job = build_job(drive.profile, work, range(5), 5)
    created = kube.create(job)
    steps.evaluate(str(drive.store), "tiny", 0, 0, 1)
    task = trains(drive.store)
    threading.Thread(target=kube.run_indices, args=(created, task), daemon=True).start()
    drive()
    assert len(kube.created) == 1
    assert missing(drive.store) == ()
    assert "adopted the Job" in drive.lines[0]


def test_what_an_adopted_job_was_not_made_for_is_done_by_another(
    kube: FakeKubernetes, drive: Drive
) -> None:
    work = Work(str(drive.store), "tiny", STAGE, 1)
    created = kube.create(build_job(drive.profile, work, [1, 2], 5))
    kube.controller(trains(drive.store))
    task = trains(drive.store)
    threading.Thread(target=kube.run_indices, args=(created, task), daemon=True).start()
    drive()
    assert [job["spec"]["completions"] for job in kube.created] == [2, 3]
    assert missing(drive.store) == ()


def test_a_finished_job_of_before_is_made_anew(kube: FakeKubernetes, drive: Drive) -> None:
    work = Work(str(drive.store), "tiny", STAGE, 1)
    created = kube.create(build_job(drive.profile, work, range(5), 5))
    kube.end(created["metadata"]["name"], "Failed", "MaxFailedIndexesExceeded")
    kube.controller(trains(drive.store))
    drive()
    assert len(kube.created) == 2
    assert missing(drive.store) == ()
    (options,) = kube.deletions
    assert options["propagationPolicy"] == "Foreground"
    assert options["preconditions"] == {"uid": created["metadata"]["uid"]}


def test_a_job_of_our_name_that_is_not_ours_is_left_alone(
    kube: FakeKubernetes, drive: Drive
) -> None:
    work = Work(str(drive.store), "tiny", STAGE, 1)
    job = build_job(drive.profile, work, range(5), 5)
    job["metadata"]["annotations"][SPEC_ANNOTATION] = "somebody else's"
    kube.create(job)
    with pytest.raises(InputError, match=r"is not this run's .* delete it with kubectl delete job"):
        drive()
    assert kube.seen("DELETE") == 0


def test_a_job_that_another_profile_left_is_ended(kube: FakeKubernetes, drive: Drive) -> None:
    work = Work(str(drive.store), "tiny", STAGE, 1)
    other = read_profile(settings={"parallelism": 3})
    created = kube.create(build_job(other, work, range(5), 5))
    kube.controller(trains(drive.store))
    drive()
    assert len(kube.created) == 2
    (job,) = kube.jobs()
    assert job["metadata"]["name"] != created["metadata"]["name"]


def test_a_job_of_the_same_run_in_another_store_is_left_alone(
    kube: FakeKubernetes, drive: Drive
) -> None:
    work = Work("s3://other/store", "tiny", STAGE, 1)
    created = kube.create(build_job(drive.profile, work, range(5), 5))
    kube.controller(trains(drive.store))
    drive()
    assert created["metadata"]["name"] in {job["metadata"]["name"] for job in kube.jobs()}
    assert len(kube.jobs()) == 2


def test_a_job_that_is_deleted_under_us_is_made_again(kube: FakeKubernetes, drive: Drive) -> None:
    kube.controller(trains(drive.store))
    works, deletions = kube.on_create, [1]

    def once_deleted(job: Any) -> None:
        if deletions:
            deletions.pop()
            threading.Timer(0.1, kube.vanish, [job["metadata"]["name"]]).start()
        else:
            works(job)

    kube.on_create = once_deleted
    drive()
    assert len(kube.created) == 2
    assert missing(drive.store) == ()
    assert any("was deleted" in line for line in drive.lines)


def test_a_job_that_is_deleted_again_and_again_is_given_up(
    kube: FakeKubernetes, drive: Drive
) -> None:
    kube.on_create = lambda job: threading.Timer(
        0.02, kube.vanish, [job["metadata"]["name"]]
    ).start()
    with pytest.raises(InfrastructureError, match="was deleted 3 times"):
        drive()


def test_failed_tasks_are_tolerated_up_to_the_fraction(kube: FakeKubernetes, drive: Drive) -> None:
    does = trains(drive.store)
    kube.controller(lambda index, env: 137 if index == 3 else does(index, env))
    drive(max_failed_fraction=0.2)
    assert missing(drive.store) == (3,)
    assert "1 of 5 chunks of generations/000 have no evaluations" in drive.lines[-2]
    assert "OOMKilled (exit 137)" in drive.lines[-2]
    assert "4 of 5 chunks evaluated" in drive.lines[-1]


def test_more_failed_tasks_are_an_error_that_says_why(kube: FakeKubernetes, drive: Drive) -> None:
    does = trains(drive.store)
    kube.controller(lambda index, env: 137 if index in (3, 4) else does(index, env))
    with pytest.raises(
        InfrastructureError,
        match=r"MaxFailedIndexesExceeded; for example .*-3-0: OOMKilled.*allows 1: run the same",
    ):
        drive(max_failed_fraction=0.2)


def test_a_complete_job_without_evaluations_is_not_believed(
    kube: FakeKubernetes, drive: Drive
) -> None:
    kube.controller(lambda index, env: 0)
    with pytest.raises(InfrastructureError, match=r"5 of 5 chunks .* is complete"):
        drive()


def test_evaluations_count_even_where_the_job_failed(kube: FakeKubernetes, drive: Drive) -> None:
    does = trains(drive.store)
    kube.controller(lambda index, env: does(index, env) or 1)
    kube.on_create, run = (lambda job: None), kube.on_create
    thread, errors = drive.in_background(max_failed_fraction=1.0)
    kube.wait_for(lambda: kube.created)
    run(kube.created[0])
    thread.join(20)
    assert errors == []
    assert missing(drive.store) == ()


def test_what_a_pod_refuses_is_the_users_error(kube: FakeKubernetes, drive: Drive) -> None:
    def on_create(job: Any) -> None:
        name = job["metadata"]["name"]
        line = "loading\nerror: the data have changed: give the images that the run started with"
        kube.put("pods", failed_pod(f"{name}-0-x", name, 2, line))
        kube.end(name, "Failed", "PodFailurePolicy", "Container main failed with exit code 2")

    kube.on_create = on_create
    with pytest.raises(InputError, match=r"^the data have changed: give the images"):
        drive()


def test_a_job_whose_last_pod_never_goes_is_not_waited_for(
    kube: FakeKubernetes, drive: Drive
) -> None:
    kube.on_create = lambda job: kube.end(
        job["metadata"]["name"], "FailureTarget", "DeadlineExceeded", "Job was active too long"
    )
    with pytest.raises(InfrastructureError, match="is failed, DeadlineExceeded"):
        drive()


@pytest.mark.parametrize(
    ("show", "told"),
    [
        (
            lambda kube, name: kube.put(
                "pods",
                pod(
                    "p",
                    name,
                    "Pending",
                    conditions=[
                        {
                            "type": "PodScheduled",
                            "status": "False",
                            "reason": "Unschedulable",
                            "message": "0/3 nodes: Insufficient nvidia.com/gpu",
                        }
                    ],
                ),
            ),
            "p: Unschedulable: 0/3 nodes: Insufficient nvidia.com/gpu",
        ),
        (
            lambda kube, name: kube.put(
                "pods",
                pod(
                    "p",
                    name,
                    "Pending",
                    containerStatuses=[
                        {"name": "main", "state": {"waiting": {"reason": "ImagePullBackOff"}}}
                    ],
                ),
            ),
            "p: ImagePullBackOff",
        ),
        (
            lambda kube, name: kube.put(
                "pods", pod("p", name, "Failed", reason="Evicted", message="low on disk")
            ),
            "p: Evicted: low on disk",
        ),
        (
            lambda kube, name: kube.put(
                "events",
                {
                    "metadata": {"name": "e"},
                    "involvedObject": {"kind": "Job", "name": name},
                    "type": "Warning",
                    "reason": "FailedCreate",
                    "message": "exceeded quota: evoptim",
                },
            ),
            "FailedCreate: exceeded quota: evoptim",
        ),
    ],
    ids=["Unschedulable", "ImagePullBackOff", "Evicted", "quota"],
)
def test_progress_says_why_pods_do_not_run(
    kube: FakeKubernetes, drive: Drive, show: Callable[[Any, str], None], told: str
) -> None:
    kube.on_create = lambda job: show(kube, job["metadata"]["name"])
    thread, errors = drive.in_background()
    kube.wait_for(lambda: any(told in line for line in drive.lines))
    works = trains(drive.store)
    threading.Thread(target=kube.run_indices, args=(kube.created[0], works), daemon=True).start()
    thread.join(20)
    assert errors == []
    assert any("0 of 5 done, 0 failed, 0 active" in line for line in drive.lines)


def test_without_the_right_to_see_pods_the_work_goes_on(
    kube: FakeKubernetes, drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "kubernetes_api.scripted.ALLOWED",
        {"jobs": {"create", "get", "list", "watch"}} | {"pods": set(), "events": set()},
    )
    thread, errors = drive.in_background()
    kube.wait_for(lambda: kube.seen("GET", "/pods") and kube.created)
    works = trains(drive.store)
    threading.Thread(target=kube.run_indices, args=(kube.created[0], works), daemon=True).start()
    thread.join(20)
    assert errors == []
    assert missing(drive.store) == ()


def test_what_the_api_refuses_is_the_users_error(
    kube: FakeKubernetes, drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="no namespace 'elsewhere'"):
        drive(namespace="elsewhere")
    kube.fail("422", method="POST", message="spec.completions: Invalid value")
    with pytest.raises(InputError, match=r"refuses the Job .*Invalid value.* correct the profile"):
        drive()
    monkeypatch.setattr("kubernetes_api.scripted.ALLOWED", {"jobs": {"get", "list"}})
    with pytest.raises(InputError, match=r"forbids POST .*Role evoptim-search"):
        drive()
    monkeypatch.setattr("kubernetes_api.scripted.TOKEN", "another")
    with pytest.raises(InputError, match="does not know these credentials"):
        drive()


def test_a_quota_on_jobs_is_waited_for(kube: FakeKubernetes, drive: Drive) -> None:
    kube.fail("403", "403", method="POST", message="exceeded quota: jobs, used: 5, limited: 5")
    kube.controller(trains(drive.store))
    drive()
    assert missing(drive.store) == ()


# Signals: only a process of its own can be interrupted.

_PROGRAM = """
import sys
from evoptim.store import Stage
from pipelines.fanout import Pace, evaluate_fanout
from pipelines.profile import ClusterProfile
pace = Pace(report=1.0, breath=0.01)
evaluate_fanout(sys.argv[1], "tiny", Stage.generation(0), 1, ClusterProfile(), pace=pace)
"""


@pytest.fixture
def driving(kube: FakeKubernetes, proposed: Path, tmp_path: Path) -> Iterator[Any]:
    environment = {
        **os.environ,
        "KUBECONFIG": str(kube.kubeconfig(tmp_path)),
        "PYTHONPATH": str(ROOT),
        "KUBERNETES_SERVICE_HOST": "somewhere",
        "HOSTNAME": "the-driver",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(proposed)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    yield process
    if process.poll() is None:
        process.kill()
        process.communicate()


def started(kube: FakeKubernetes) -> bool:
    return bool(kube.created and kube.seen("WATCH"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_driver_that_is_interrupted_deletes_its_job(
    kube: FakeKubernetes, driving: Any, number: int
) -> None:
    kube.put("pods", pod("the-driver", "", "Running"))
    kube.wait_for(lambda: started(kube), 60)
    driving.send_signal(number)
    output, _ = driving.communicate(timeout=60)
    assert driving.returncode != 0
    assert "interrupted: deletes the Job" in output
    kube.wait_for(lambda: not kube.jobs())
    (options,) = kube.deletions
    assert options["propagationPolicy"] == "Foreground"


def test_a_driver_that_is_evicted_leaves_its_job_to_the_next(
    kube: FakeKubernetes, driving: Any
) -> None:
    disrupted = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    kube.put("pods", pod("the-driver", "", "Running", conditions=[disrupted]))
    kube.wait_for(lambda: started(kube), 60)
    driving.send_signal(signal.SIGTERM)
    output, _ = driving.communicate(timeout=60)
    assert driving.returncode != 0
    assert "is being moved" in output
    assert len(kube.jobs()) == 1


def test_a_driver_that_is_killed_leaves_its_job_to_the_next(
    kube: FakeKubernetes, driving: Any, drive: Drive
) -> None:
    kube.wait_for(lambda: started(kube), 60)
    driving.kill()
    driving.communicate()
    drive.profile = ClusterProfile()
    thread, errors = drive.in_background()
    kube.wait_for(lambda: drive.lines)
    works = trains(drive.store)
    threading.Thread(target=kube.run_indices, args=(kube.created[0], works), daemon=True).start()
    thread.join(30)
    assert errors == []
    assert "adopted the Job" in drive.lines[0]
    assert len(kube.created) == 1
    assert missing(drive.store) == ()
