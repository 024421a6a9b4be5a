"""A driver that is interrupted, evicted or killed: only a process of its own can be."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fanout_drive import Drive, missing, trains
from kubernetes_api.scripted import FakeKubernetes, pod
from step_process import running

from pipelines.profile import ClusterProfile

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
    with running(_PROGRAM, proposed, kube, tmp_path) as process:
        yield process


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
