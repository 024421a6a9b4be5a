"""How long one generation takes on a cluster: a small discrete-event model.

It knows what follows what, how many pods run at a time, and how long each part takes. How long
the steps' processes take is measured (``benchmarks/scale.py``); what a cluster adds is assumed.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from evoptim.steps.ahead import PAUSE_SECONDS
from evoptim.steps.chunks import runs_of
from evoptim.steps.waiting import POLL_SECONDS
from evoptim.store.many import THREADS

EVENTS = 25
"""Events of one object that client-go's recorder sends at once; later ones are dropped."""

Engine = Literal["argo job", "argo loop", "kfp job", "kfp loop"]
"""An engine, and how it spreads the tasks of a stage."""


@dataclass(frozen=True)
class Steps:
    """Seconds that processes of steps take from their start to their end, against a near store."""

    propose: float
    """Until the last candidate is written."""
    select: float
    begin: float
    """The step of a whole generation, until it makes the Indexed Job."""
    finish: float
    """The same step, when all is evaluated and read: it asks what is missing, and selects."""
    start: float
    """An ``evaluate`` step until its first training begins: interpreter, imports, images."""
    warm: float
    """That part of ``start`` which it does while the candidates are still proposed."""
    candidate: float
    """What ``evaluate`` adds to each training."""
    drawing: float = 0.0
    """That part of ``propose`` in which candidates are drawn, and written as they come."""
    step: float = 0.0
    """That part of ``propose`` which a step of a whole generation has behind it: its start."""
    read: float = 0.0
    """Of a core, to make sense of one evaluation that was read."""
    request: float = 0.0
    """Of a core, for one request to S3."""
    cores: int = 1
    """Cores of ``select``, which reads evaluations on all of them."""


@dataclass(frozen=True)
class Cluster:
    """What a cluster adds, in seconds. Assumed, not measured: say what yours does."""

    pod: float = 2.0
    """From a pod's creation to the first instruction of its process, its image being on the node.
    Kubernetes' own objective is 5 s for 99 % of pods; small ones on an idle node take 1 to 2 s."""
    driver: float = 0.5
    """The work of one KFP driver, which is a pod that comes before each task."""
    pods_burst: float = 30.0
    """Requests that the controller which makes pods may send at once. Each controller of
    kube-controller-manager has a client of its own, with these limits by default:
    ``--kube-api-burst=30`` and ``--kube-api-qps=20``."""
    pods_per_second: float = 20.0
    """Requests of it a second from then on. Each pod takes one to be made and one at its end, for
    the finalizer by which its Job counts it; and for each of a Job's first 25 there is an event."""
    request: float = 0.005
    """Until the store has answered one request, apart from what it takes of a core."""
    notice: float = 1.0
    """Until the end of a training pod is noticed: the Job controller looks once a second."""
    poll: float = POLL_SECONDS
    """Until a pod that waits sees that there are candidates, at most."""


@dataclass(frozen=True)
class Requests:
    """Requests to the store that are waited for: one after another, and many in threads at once."""

    propose: tuple[int, int] = (0, 0)
    select: tuple[int, int] = (0, 0)
    """The second on all cores of the step."""
    begin: tuple[int, int] = (0, 0)
    """Of the step of a whole generation, before its pods are made."""
    watch: tuple[int, int] = (0, 0)
    """Of that step, after their end."""
    start: tuple[int, int] = (0, 0)
    """Of a task, before its first training and after its last."""
    start_each: int = 0
    """For each candidate of a task, before its first training, in threads."""
    candidate: int = 0
    """For each candidate while the next one trains: they cost no time but that of the core."""


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
    # a generation in a loop and that loop have one each.
    driver = cluster.pod + cluster.driver if kfp else 0.0
    pod = driver + cluster.pod

    def waited(one_by_one: int, at_once: int = 0, cores: int = 1) -> float:
        threads = max(cluster.request / THREADS, steps.request) / cores
        return one_by_one * (cluster.request + steps.request) + at_once * threads

    proposed = steps.propose + waited(*asked.propose)
    count = len(durations)
    reads = waited(*asked.start) + waited(0, asked.start_each * chunk)

    def trained(before: float, earliest: Callable[[int], float]) -> float:
        return evaluation_end(
            durations,
            workers,
            chunk,
            before=before + steps.warm,
            earliest=earliest,
            start=steps.start - steps.warm + reads,
            candidate=steps.candidate + asked.candidate * steps.request,
            notice=cluster.notice,
            burst=cluster.pods_burst,
            per_second=cluster.pods_per_second,
        )

    one_by_one, evaluations = asked.select
    if loop:
        tasks = driver + trained(driver + pod, lambda _: 0.0)
        selected = waited(one_by_one, evaluations, steps.cores)
        return driver + pod + proposed + tasks + pod + steps.select + selected
    begun = pod + steps.begin + waited(*asked.begin)
    # Its pods start while it proposes, and begin with what is there.
    last = proposed - steps.step + cluster.poll

    def there(number: int) -> float:
        return last - steps.drawing * (1 - number / count)

    tasks = trained(cluster.pod, there)
    unread = _unread(count, tasks, waited(0, 1) + steps.read)
    selected = waited(one_by_one, unread) + steps.read * unread
    return begun + tasks + waited(*asked.watch) + steps.finish + selected


def _unread(count: int, seconds: float, each: float) -> int:
    """How many evaluations are left to read at the end, some having been read as they came.

    Args:
        count: All of them.
        seconds: Until the last one is there.
        each: Seconds for reading one.
    """
    if not seconds:
        return count
    since_the_last_look = count * PAUSE_SECONDS / seconds
    # A third of the time is for reading, two thirds for what else the step does.
    not_managed = count - seconds / 3 / each if each else 0.0
    return math.ceil(min(count, max(since_the_last_look, not_managed)))


def evaluation_end(
    durations: Sequence[float],
    workers: int,
    chunk: int,
    *,
    before: float,
    start: float,
    candidate: float,
    earliest: Callable[[int], float],
    notice: float,
    burst: float,
    per_second: float,
) -> float:
    """When the end of the last pod of a stage is counted, the first one being made at 0.

    Args:
        durations: Seconds of each candidate's training.
        workers: Pods at a time: the next one is made when the end of one of them is counted.
        chunk: Candidates of one pod.
        before: From making a pod to its being ready for candidates.
        start: From there to the first training.
        candidate: Added to each training.
        earliest: When the first so many candidates are there; a pod begins with those of the first
            run of its chunk.
        notice: From the end of a pod to its being noticed.
        burst: Requests that whoever makes pods may send at once.
        per_second: Requests of it a second from then on.
    """
    requests = _Bucket(burst, per_second)
    begins = range(0, len(durations), chunk)
    waiting = deque(runs_of(len(durations), number, chunk) for number in range(len(begins)))
    made = 0
    # What happens next: a place that is free, or a pod that has ended.
    events: list[tuple[float, bool]] = [(0.0, False)] * min(workers, len(begins))
    last = 0.0
    while events:
        now, ended = heapq.heappop(events)
        if ended:
            last = requests.take(now)
            heapq.heappush(events, (last, False))
        elif waiting:
            mine = waiting.popleft()
            created = requests.take(now)
            made += 1
            if made <= EVENTS:
                requests.take(now)
            end, starts = created + before, start
            for run in filter(None, mine):
                trains = sum(durations[number] + candidate for number in run)
                end = max(end, earliest(run[-1] + 1)) + starts + trains
                starts = 0.0
            heapq.heappush(events, (end + notice, True))
    return last


class _Bucket:
    """Requests that are sent at once up to a number, and from then on at a rate."""

    def __init__(self, burst: float, per_second: float) -> None:
        self._burst, self._per_second = burst, per_second
        self._tokens, self._at = burst, 0.0

    def take(self, now: float) -> float:
        """When a request is sent that waits from now on; ``now`` never goes back."""
        if math.isinf(self._per_second):
            return now
        gained = (now - self._at) * self._per_second
        self._tokens, self._at = min(self._burst, self._tokens + gained) - 1.0, now
        return now + max(0.0, -self._tokens / self._per_second)


def ideal(durations: Sequence[float], workers: int) -> float:
    """Seconds of training on so many workers that never wait."""
    return sum(durations) / workers


def chunk_sizes(candidates: int, workers: int) -> list[int]:
    """Sizes worth trying: those that give every worker the same number of pods, and one."""
    waves = range(1, math.ceil(candidates / workers) + 1)
    return sorted({1, *(math.ceil(candidates / (workers * each)) for each in waves)})
