"""How long one generation takes on a cluster: a small discrete-event model.

It knows what follows what, how many pods run at a time, and how long each part takes. How long
the steps' processes take is measured (``benchmarks/scale.py``); what a cluster adds is assumed.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Engine = Literal["argo job", "argo loop", "kfp job", "kfp loop"]
"""An engine, and how it spreads the tasks of a stage."""


@dataclass(frozen=True)
class Steps:
    """Seconds that processes of steps take from their start to their end, against a near store."""

    propose: float
    select: float
    watch: float
    """The step that watches an Indexed Job, apart from waiting for it."""
    start: float
    """An ``evaluate`` step until its first training begins: interpreter, imports, images."""
    candidate: float
    """What ``evaluate`` adds to each training."""


@dataclass(frozen=True)
class Cluster:
    """What a cluster adds, in seconds. Assumed, not measured: say what yours does."""

    pod: float = 2.0
    """From a pod's creation to the first instruction of its process, its image being on the node.
    Kubernetes' own objective is 5 s for 99 % of pods; small ones on an idle node take 1 to 2 s."""
    driver: float = 0.5
    """The work of one KFP driver, which is a pod that comes before each task."""
    pods_per_second: float = 10.0
    """Pods that the Job controller or the workflow controller makes. With its stock limit of 20
    requests a second, Kubernetes' Job controller makes one and takes note of its end in two."""
    request: float = 0.005
    """One request to the store."""
    notice: float = 1.0
    """Until the end of a stage's last pod is noticed."""


@dataclass(frozen=True)
class Requests:
    """Requests to the store, one after another."""

    propose: int = 0
    select: int = 0
    watch: int = 0
    start: int = 0
    candidate: int = 0


def makespan(
    durations: Sequence[float],
    workers: int,
    chunk: int,
    engine: Engine,
    steps: Steps,
    cluster: Cluster,
    requests: Requests | None = None,
) -> float:
    """Seconds from the beginning of a generation to its selected population.

    Args:
        durations: Seconds of each candidate's training.
        workers: Training pods at a time.
        chunk: Candidates that one pod trains, one after another.
        engine: What starts the pods.
        steps: Measured times.
        cluster: Assumed times.
        requests: What is asked of the store on the way; None adds nothing.
    """
    asked = requests or Requests()
    kfp, loop = engine.startswith("kfp"), engine.endswith("loop")
    # Before each pod of the workflow KFP starts another, its driver; a loop's tasks have two, and
    # a generation and its loop have one each.
    driver = cluster.pod + cluster.driver if kfp else 0.0
    pod = driver + cluster.pod
    trained = evaluation_end(
        durations,
        workers,
        chunk,
        before=(driver if loop else 0.0) + (pod if loop else cluster.pod),
        start=steps.start + asked.start * cluster.request,
        candidate=steps.candidate + asked.candidate * cluster.request,
        pods_per_second=cluster.pods_per_second,
    )
    fan_out = driver if loop else pod + steps.watch + asked.watch * cluster.request
    return (
        driver
        + pod
        + steps.propose
        + asked.propose * cluster.request
        + fan_out
        + trained
        + cluster.notice
        + pod
        + steps.select
        + asked.select * cluster.request
    )


def evaluation_end(
    durations: Sequence[float],
    workers: int,
    chunk: int,
    *,
    before: float,
    start: float,
    candidate: float,
    pods_per_second: float,
) -> float:
    """When the last pod of a stage ends, the first one being made at 0.

    Args:
        durations: Seconds of each candidate's training.
        workers: Pods at a time: the next one is made when one of them ends.
        chunk: Candidates of one pod.
        before: From making a pod to the start of its process.
        start: From there to the first training.
        candidate: Added to each training.
        pods_per_second: How fast pods are made.
    """
    free = [0.0] * workers
    made = -math.inf
    for begin in range(0, len(durations), chunk):
        mine = durations[begin : begin + chunk]
        made = max(heapq.heappop(free), made + 1.0 / pods_per_second)
        heapq.heappush(free, made + before + start + sum(mine) + candidate * len(mine))
    return max(free)


def ideal(durations: Sequence[float], workers: int) -> float:
    """Seconds of training on so many workers that never wait."""
    return sum(durations) / workers


def chunk_sizes(candidates: int, workers: int) -> list[int]:
    """Sizes worth trying: those that give every worker the same number of pods, and one."""
    waves = range(1, math.ceil(candidates / workers) + 1)
    return sorted({1, *(math.ceil(candidates / (workers * each)) for each in waves)})
