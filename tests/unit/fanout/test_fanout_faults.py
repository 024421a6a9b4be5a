"""An API server that fails, throttles, goes away or refuses."""

from __future__ import annotations

import threading
import time

import pytest
from fanout_drive import Drive, missing, trains
from kubernetes_api.scripted import FakeKubernetes

from evoptim.errors import InfrastructureError, InputError
from pipelines.kubernetes_api import Patience, connect


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
