"""What a Job is made for: the chunks that lack an evaluation, and what becomes of them."""

from __future__ import annotations

from typing import Any

import pytest
from fanout_drive import Drive, missing, trains
from kubernetes_api.scripted import FakeKubernetes, failed_pod

from evoptim import steps
from evoptim.errors import InfrastructureError, InputError
from evoptim.steps.chunks import CHUNKS_VARIABLE


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
