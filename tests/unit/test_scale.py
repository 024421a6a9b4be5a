"""The model of a generation's time on a cluster, and the measurements that it is fed with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import scale
from makespan import Cluster, Requests, Steps, chunk_sizes, evaluation_end, ideal, makespan

from evoptim.cache import CACHE_VARIABLE
from evoptim.steps.reading import read_candidates
from evoptim.store import Stage, open_store, save
from evoptim.store.layout import config_key

NOTHING = Steps(propose=0.0, select=0.0, watch=0.0, start=0.0, candidate=0.0)
FREE = Cluster(pod=0.0, driver=0.0, pods_per_second=1e9, request=0.0, notice=0.0)
STEPS = Steps(propose=100.0, select=200.0, watch=30.0, start=4.0, candidate=0.5)
SLOW = Cluster(pod=10.0, driver=3.0, pods_per_second=1e9, request=0.0, notice=1.0)


def end(durations: list[float], workers: int, chunk: int, **more: float) -> float:
    given = {"before": 0.0, "start": 0.0, "candidate": 0.0, "pods_per_second": 1e9} | more
    return evaluation_end(durations, workers, chunk, **given)


def test_a_cluster_that_costs_nothing_takes_the_ideal_time() -> None:
    durations = [1.0] * 640
    took = makespan(durations, 64, 1, "kfp loop", NOTHING, FREE)
    assert took == pytest.approx(ideal(durations, 64)) == pytest.approx(10.0)


def test_the_next_pod_is_made_when_one_ends() -> None:
    # The first worker trains 5; the second 1, 2 and 4.
    assert end([5.0, 1.0, 2.0, 4.0], 2, 1) == pytest.approx(7.0)


def test_every_pod_starts_and_every_candidate_is_stored() -> None:
    # Two pods of three candidates, one after the other.
    assert end([1.0] * 6, 1, 3, before=10.0, start=4.0, candidate=0.5) == 2 * (14.0 + 3 * 1.5)


def test_workers_wait_where_pods_are_made_slowly() -> None:
    assert end([1.0] * 8, 8, 1, pods_per_second=2.0) == pytest.approx(7 * 0.5 + 1.0)


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        # propose 10 + 100; watch 10 + 30; train 10 + 4 + 2 x 1.5; noticed 1; select 10 + 200
        ("argo job", 110 + 40 + 17 + 1 + 210),
        # Nobody watches.
        ("argo loop", 110 + 17 + 1 + 210),
        # A driver, 10 + 3, for the generation, and one before each of its three steps.
        ("kfp job", 13 + 123 + 53 + 17 + 1 + 223),
        # One for the generation, propose, the loop and select; two for each task of the loop.
        ("kfp loop", 13 + 123 + 13 + 26 + 17 + 1 + 223),
    ],
)
def test_pods_that_come_one_after_another_add_up(engine: Any, expected: float) -> None:
    assert makespan([1.0] * 4, 2, 2, engine, STEPS, SLOW) == pytest.approx(expected)


def test_requests_cost_time_where_they_are_made() -> None:
    cluster = replace(FREE, request=1.0)
    asked = Requests(propose=1, select=10, watch=100, start=1_000, candidate=10_000)
    took = makespan([0.0] * 6, 1, 3, "argo job", NOTHING, cluster, asked)
    assert took == 1 + 10 + 100 + 2 * 1_000 + 6 * 10_000


def test_chunks_give_every_worker_as_many_pods() -> None:
    assert chunk_sizes(100, 10) == [1, 2, 3, 4, 5, 10]
    assert chunk_sizes(5, 64) == [1]


def test_the_chunk_that_is_advised_is_the_smallest_that_meets_the_bar() -> None:
    cluster = replace(FREE, pod=2.0)
    given = (1_000, 1.0, 10, "argo job", NOTHING, cluster)
    chunk, overhead = scale.best_chunk(*given)
    assert overhead <= scale.BAR_OVERHEAD
    smaller = [size for size in chunk_sizes(1_000, 10) if size < chunk]
    assert all(
        scale.simulated(1_000, 1.0, 10, size, "argo job", NOTHING, cluster) > scale.BAR_OVERHEAD
        for size in smaller
    )


@pytest.mark.slow
def test_the_benchmark_measures_real_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    records = scale.real_records(tmp_path / "records")
    config = scale.search_config(10)
    found = scale.measure_steps(tmp_path / "ten", config, records)
    for cost in (*found.propose, *found.select, found.watch):
        assert cost.own > 0.1
        assert cost.shared == 0.0
        assert cost.memory > 2**25
    assert found.mutants == 9
    start, candidate = scale.measure_evaluate(tmp_path / "evaluate", 1)
    assert start > candidate >= 0.0


def test_the_parts_of_an_overhead_add_up_to_it() -> None:
    chunk = 157
    parts = scale.shares(10_000, 64, chunk, "kfp job", STEPS, replace(SLOW, request=0.01))
    overhead = scale.simulated(
        10_000, 1.0, 64, chunk, "kfp job", STEPS, replace(SLOW, request=0.01)
    )
    # Of 157 candidates in each of 64 pods the last pod has fewer than the ideal's share.
    waste = chunk - 10_000 / 64
    assert sum(parts.values()) + waste == pytest.approx(overhead * 10_000 / 64, abs=0.1)


def test_a_step_of_ten_candidates_is_run_as_in_a_container_and_measured(tmp_path: Path) -> None:
    store = tmp_path / "store"
    config = scale.search_config(10)
    save(open_store(str(store)), config_key(scale.RUN), config)
    cost = scale.run_step(store, "propose", "--run", scale.RUN, "--generation", "0")
    proposed = read_candidates(open_store(str(store)), scale.RUN, Stage.generation(0))
    assert len(proposed.candidates) == 10
    assert cost.own > 0.1
    assert cost.memory > 2**25


def test_cores_share_the_work_of_processes_alone() -> None:
    assert scale.Cost(own=3.0, shared=40.0, memory=0).seconds(cores=8) == 8.0


def test_the_benchmark_prints_what_the_preflight_counts() -> None:
    counted = scale.count_bytes(scale.search_config(10))
    assert (counted.fan_out, counted.problems) == ("loop", 0)
    assert counted.ir > 10_000
    assert 5_000 < counted.job < 50_000
