"""Which Job the driver takes for its own, and which it leaves alone, ends or makes anew."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from fanout_drive import STAGE, Drive, missing, trains
from kubernetes_api.scripted import FakeKubernetes

from evoptim import steps
from evoptim.errors import InfrastructureError, InputError
from pipelines import fanout
from pipelines.job import SPEC_ANNOTATION, Work, build_job
from pipelines.profile_reading import read_profile


def test_a_job_whose_creation_was_answered_by_nobody_is_adopted(
    kube: FakeKubernetes, drive: Drive
) -> None:
    kube.fail("reset", method="POST", after=True)
    kube.controller(trains(drive.store))
    drive()
    assert len(kube.created) == 1
    assert missing(drive.store) == ()
    assert any("adopted the Job" in line for line in drive.lines)


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


def test_a_job_that_ended_well_since_it_was_looked_is_not_made_anew(
    kube: FakeKubernetes, drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Work(str(drive.store), "tiny", STAGE, 1)
    created = kube.create(build_job(drive.profile, work, range(5), 5))
    looks = 0

    def look(*arguments: Any) -> steps.Missing:
        nonlocal looks
        looks += 1
        found = steps.missing_chunks(*arguments)
        if looks == 1:
            assert found.chunks == (0, 1, 2, 3, 4)
            kube.run_indices(created, trains(drive.store))
        return found

    kube.controller(trains(drive.store))
    monkeypatch.setattr(fanout, "missing_chunks", look)
    drive()
    assert looks > 1
    assert len(kube.created) == 1
    assert not kube.deletions
    assert drive.lines == ["generations/000: 5 of 5 chunks evaluated"]


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
