"""How much longer than the ideal a generation takes, simulated with measured times of its steps."""

from __future__ import annotations

import math
from dataclasses import replace

from makespan import Cluster, Engine, Requests, Steps, chunk_sizes, ideal, makespan
from scale_steps import Begin, Measured

from evoptim.steps.parts import part_count
from evoptim.steps.processes import MOST
from pipelines.store_requests import requests_per_candidate

BAR_OVERHEAD = 0.15
"""Of the ideal at 10,000 candidates of one second on 64 workers."""
WRITTEN = 4
"""Requests that write a record, for all runs and for this one."""


def step_times(
    measured: Measured,
    begin: Begin,
    cores: int,
    start: float,
    warm: float,
    candidate: float,
    request: float,
) -> Steps:
    """What is simulated: a generation of random genomes, which take longer than mutants."""
    return Steps(
        propose=measured.propose[0].seconds(cores),
        select=measured.select[0].seconds(cores),
        begin=begin.job,
        finish=measured.finish,
        start=start,
        warm=warm,
        candidate=candidate,
        drawing=measured.propose[0].together(cores),
        step=begin.step,
        read=measured.read,
        request=request,
        cores=min(cores, MOST),
    )


def simulated(
    candidates: int, seconds: float, workers: int, chunk: int, engine: Engine, times: Steps,
    cluster: Cluster,
) -> float:  # fmt: skip
    """Overhead: how much longer than the ideal a generation takes, as a share of it."""
    durations = [seconds] * candidates
    took = makespan(durations, workers, chunk, engine, times, cluster, requests(candidates))
    return took / ideal(durations, workers) - 1.0


def requests(candidates: int) -> Requests:
    """What steps ask of the store and wait for (``pipelines/store_requests.py`` counts all)."""
    parts = part_count(candidates)
    listings = math.ceil(candidates / 1_000)
    return Requests(
        # Is it proposed, the configuration; the whole, written in two; the parts as well.
        propose=(4, 2 * parts),
        # Is it there, configuration, the listing, the population of before; written in two, and
        # read by what comes next. Candidates and most evaluations are read before.
        select=(6 + listings, candidates),
        # Is it proposed, the configuration twice; and the Job, a request to the API server.
        begin=(4, 0),
        # The listing.
        watch=(listings, 0),
        # Is it proposed, the configuration; for each run of its candidates, two parts, which are
        # waited for, and the listing; the last record, written in four.
        start=(2 + 2 * 5 + WRITTEN, 0),
        # Does another run have it.
        start_each=requests_per_candidate() - WRITTEN,
        candidate=WRITTEN,
    )


def best_chunk(
    candidates: int, seconds: float, workers: int, engine: Engine, times: Steps, cluster: Cluster
) -> tuple[int, float]:
    """The smallest chunk that meets the bar, else the one with the least overhead."""
    tried = [
        (chunk, simulated(candidates, seconds, workers, chunk, engine, times, cluster))
        for chunk in chunk_sizes(candidates, workers)
    ]
    good = [each for each in tried if each[1] <= BAR_OVERHEAD]
    return good[0] if good else min(tried, key=lambda each: each[1])


def shares(
    candidates: int, workers: int, chunk: int, engine: Engine, times: Steps, cluster: Cluster
) -> dict[str, float]:
    """What each part adds to a generation of one-second candidates, in seconds: how much shorter it
    is without that part and those before it."""
    durations = [1.0] * candidates
    asked = requests(candidates)
    found: dict[str, float] = {}
    before = makespan(durations, workers, chunk, engine, times, cluster, asked)

    def without(name: str) -> None:
        nonlocal before
        now = makespan(durations, workers, chunk, engine, times, cluster, asked)
        found[name], before = before - now, now

    for each in ("driver", "notice"):
        cluster = replace(cluster, **{each: 0.0})
        without(each)
    cluster = replace(cluster, request=0.0)
    times = replace(times, request=0.0)
    without("S3")
    for each in ("begin", "finish", "candidate"):
        times = replace(times, **{each: 0.0})
        without(each)
    # What goes on while pods start comes before them: what is left of it is what they wait for.
    times, cluster = replace(times, propose=0.0, drawing=0.0, step=0.0), replace(cluster, poll=0.0)
    without("propose")
    cluster = replace(cluster, pods_per_second=math.inf)
    without("pods made")
    times = replace(times, start=0.0, warm=0.0)
    without("start")
    cluster = replace(cluster, pod=0.0)
    without("pod")
    return found
