"""What the driver says of pods that do not run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from fanout_drive import Drive, trains
from kubernetes_api.scripted import FakeKubernetes, pod


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
