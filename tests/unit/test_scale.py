"""The model of a generation's time on a cluster, and the measurements that it is fed with."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import pytest
from makespan import Cluster, Requests, Steps, chunk_sizes, evaluation_end, ideal, makespan
from process_cost import Cost, run_step
from scale_counts import count_bytes, search_config
from scale_overhead import BAR_OVERHEAD, best_chunk, shares, simulated
from scale_steps import (
    RUN,
    measure_begin,
    measure_evaluate,
    measure_request,
    measure_steps,
    measure_warm_up,
    real_records,
)

from evoptim.cache import CACHE_VARIABLE
from evoptim.steps.reading import read_candidates
from evoptim.store import Stage, open_store, save
from evoptim.store.layout import config_key
from evoptim.store.many import THREADS

NOTHING = Steps(propose=0.0, select=0.0, begin=0.0, finish=0.0, start=0.0, warm=0.0, candidate=0.0)
FREE = Cluster(pod=0.0, driver=0.0, pods_per_second=inf, request=0.0, notice=0.0, poll=0.0)
STEPS = Steps(
    propose=100.0, select=200.0, begin=5.0, finish=30.0, start=4.0, warm=3.0, candidate=0.5
)
SLOW = Cluster(pod=10.0, driver=3.0, pods_per_second=inf, request=0.0, notice=1.0, poll=2.0)


def end(durations: list[float], workers: int, chunk: int, **more: Any) -> float:
    nothing = {"before": 0.0, "start": 0.0, "candidate": 0.0, "notice": 0.0}
    given = {**nothing, "earliest": lambda _: 0.0, "burst": 0.0, "per_second": inf, **more}
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


def test_the_end_of_a_pod_is_noticed_before_the_next_one_is_made() -> None:
    assert end([1.0, 1.0], 1, 1, notice=3.0) == 2 * (1.0 + 3.0)


def test_workers_wait_where_pods_are_made_slowly() -> None:
    # 8 pods and an event for each; the last of 16 requests but the last event's is 7 s late.
    assert end([100.0] * 8, 8, 1, burst=1.0, per_second=2.0) == pytest.approx(7.0 + 100.0)


def test_a_burst_is_made_at_once() -> None:
    # 60 pods and 25 events, of which 30 are free; their ends find requests saved up again.
    assert end([100.0] * 60, 60, 1, burst=30.0, per_second=20.0) == pytest.approx(
        100.0 + (60 + 25 - 30) / 20
    )


def test_ends_that_come_all_at_once_are_counted_one_after_another() -> None:
    # 20 pods and their events are made at once, and end at once.
    assert end([9.0] * 20, 20, 1, burst=40.0, per_second=1.0) == pytest.approx(9.0 + 20 - 9)


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        # The Job is made after 10 + 5; proposed and seen 102 later, while pods start and load;
        # train 1 + 2 x 1.5; noticed 1; missing and select 30
        ("argo job", 15 + 102 + 4 + 1 + 30),
        # propose 10 + 100; train 10 + 4 + 2 x 1.5; noticed 1; select 10 + 200
        ("argo loop", 110 + 17 + 1 + 210),
        # A driver, 10 + 3, before the only step.
        ("kfp job", 28 + 102 + 4 + 1 + 30),
        # One for the generation, propose, the loop and select; two for each task of the loop.
        ("kfp loop", 13 + 123 + 13 + 26 + 17 + 1 + 223),
    ],
)
def test_pods_that_come_one_after_another_add_up(engine: Any, expected: float) -> None:
    assert makespan([1.0] * 4, 2, 2, engine, STEPS, SLOW) == pytest.approx(expected)


def test_what_is_proposed_before_a_pod_is_ready_is_not_waited_for() -> None:
    quick = replace(STEPS, propose=4.0)
    # The pod takes 10, and 3 to load.
    assert makespan([1.0] * 4, 2, 2, "argo job", quick, SLOW) == pytest.approx(15 + 13 + 4 + 1 + 30)


def test_later_pods_find_candidates() -> None:
    # The second pod is made at 22 + 1, and is ready 5 later.
    assert end([1.0, 1.0], 1, 1, before=5.0, earliest=lambda _: 21.0) == pytest.approx(
        22.0 + 5.0 + 1.0
    )


def test_a_pod_begins_when_its_own_candidates_are_there() -> None:
    # Two pods of two candidates each, of which one more is there every 5 s.
    assert end([1.0] * 4, 2, 2, earliest=lambda number: 5.0 * number) == pytest.approx(20.0 + 2.0)
    # Of 100 to propose 3 are behind a step that is at work, and in the last 40 candidates are drawn
    # one after another: the first two of four are there at 15 + 77, the others at 15 + 97.
    parts = replace(STEPS, drawing=40.0, step=3.0)
    cluster = replace(SLOW, poll=0.0)
    train = 1 + 2 * 1.5
    assert makespan([1.0] * 4, 2, 2, "argo job", parts, cluster) == 15 + 97 + train + 1 + 30
    assert makespan([1.0] * 4, 1, 4, "argo job", parts, cluster) == 15 + 97 + 1 + 4 * 1.5 + 1 + 30
    one_by_one = makespan([60.0] * 4, 1, 1, "argo job", parts, cluster)
    # Each of them starts 14 after the one before has been counted, while 67 s is the first there.
    assert one_by_one == 15 + 67 + 4 * (1 + 60.5 + 1) + 3 * 13 + 30


def test_a_long_chunk_begins_with_the_head_of_the_stage() -> None:
    # Two pods of eight, whose first ones are 0 and 1: the second waits for two candidates, trains
    # one, and waits for the rest of its chunk, which is there at 16 x 5.
    assert end([1.0] * 16, 2, 8, earliest=lambda number: 5.0 * number) == 80.0 + 7.0
    # Where they come faster than it trains it waits for two of them alone.
    quick = end([1.0] * 16, 2, 8, earliest=lambda number: 0.05 * number)
    assert quick == pytest.approx(2 * 0.05 + 8.0)


def test_evaluations_are_read_as_they_come_but_for_the_last_ones() -> None:
    steps, asked = replace(NOTHING, read=0.1), Requests(select=(0, 1_000))
    # 100 s of training on one worker, a look every 2 s: 20 evaluations are left.
    durations = [0.1] * 1_000
    took = makespan(durations, 1, 1, "argo job", replace(NOTHING, read=0.01), FREE, asked)
    assert took == pytest.approx(100 + 20 * 0.01, abs=0.011)
    # Reading takes a third of the time at most: at 0.1 s each, 333 of 1,000 are read by then.
    took = makespan(durations, 1, 1, "argo job", steps, FREE, asked)
    assert took == pytest.approx(100 + 667 * 0.1, abs=0.11)


def test_requests_cost_time_where_they_are_waited_for() -> None:
    cluster = replace(FREE, request=16.0)
    asked = Requests(
        propose=(1, 0),
        select=(0, 10),
        begin=(50, 0),
        watch=(50, 0),
        start=(1_000, 0),
        start_each=10_000,
    )
    took = makespan([0.0] * 6, 1, 3, "argo job", NOTHING, cluster, asked)
    assert THREADS == 16
    # All but the last evaluation are read before.
    assert took == 16 * (1 + 100 + 2 * 1_000) + 1 + 6 * 10_000


def test_requests_take_the_time_of_their_core_even_in_threads() -> None:
    steps = replace(NOTHING, request=1.0, cores=5)
    asked = Requests(select=(0, 10), start_each=100, candidate=1_000)
    took = makespan([0.0] * 6, 1, 3, "argo loop", steps, FREE, asked)
    assert took == 10 / 5 + 6 * (100 + 1_000)


def test_chunks_give_every_worker_as_many_pods() -> None:
    assert chunk_sizes(100, 10) == [1, 2, 3, 4, 5, 10]
    assert chunk_sizes(5, 64) == [1]


def test_the_chunk_that_is_advised_is_the_smallest_that_meets_the_bar() -> None:
    cluster = replace(FREE, pod=2.0)
    given = (1_000, 1.0, 10, "argo job", NOTHING, cluster)
    chunk, overhead = best_chunk(*given)
    assert overhead <= BAR_OVERHEAD
    smaller = [size for size in chunk_sizes(1_000, 10) if size < chunk]
    assert all(
        simulated(1_000, 1.0, 10, size, "argo job", NOTHING, cluster) > BAR_OVERHEAD
        for size in smaller
    )


@pytest.mark.slow
def test_the_benchmark_measures_real_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    records = real_records(tmp_path / "records")
    config = search_config(10)
    begin = measure_begin()
    assert begin.draw > begin.read > 0.05
    assert begin.job > begin.step > 0.05
    assert 1e-5 < measure_request(records) < 0.1
    found = measure_steps(tmp_path / "ten", config, records, begin)
    assert found.finish > 0.0
    assert found.read > 0.0
    for cost in (*found.propose, *found.select):
        assert cost.own > 0.1
        assert (cost.beside, cost.shared, cost.begin) == (0.0, 0.0, 0.0)
        assert cost.memory > 2**24
    assert found.mutants == 9
    start, candidate = measure_evaluate(tmp_path / "evaluate", 1)
    assert start > candidate >= 0.0
    assert measure_warm_up(tmp_path / "warm") > begin.step


def test_the_parts_of_an_overhead_add_up_to_it() -> None:
    chunk = 157
    parts = shares(10_000, 64, chunk, "kfp job", STEPS, replace(SLOW, request=0.01))
    overhead = simulated(10_000, 1.0, 64, chunk, "kfp job", STEPS, replace(SLOW, request=0.01))
    # Of 157 candidates in each of 64 pods the last pod has fewer than the ideal's share.
    waste = chunk - 10_000 / 64
    assert sum(parts.values()) + waste == pytest.approx(overhead * 10_000 / 64, abs=0.1)


def test_a_step_of_ten_candidates_is_run_as_in_a_container_and_measured(tmp_path: Path) -> None:
    store = tmp_path / "store"
    config = search_config(10)
    save(open_store(str(store)), config_key(RUN), config)
    cost = run_step(store, "propose", "--run", RUN, "--generation", "0")
    proposed = read_candidates(open_store(str(store)), RUN, Stage.generation(0))
    assert len(proposed.candidates) == 10
    assert cost.own > 0.1
    assert cost.memory > 2**25


def test_cores_share_the_work_of_processes_alone() -> None:
    cost = Cost(own=3.0, memory=0, beside=4.0, shared=36.0, begin=2.0)
    assert cost.seconds(cores=8) == cost.seconds(cores=64) == 3.0 + 2.0 + 5.0
    # What the first process does beside them it does on one core.
    assert replace(cost, beside=20.0).seconds(cores=8) == 3.0 + 20.0
    assert Cost(own=3.0, memory=0).seconds(cores=8) == 3.0


def test_the_benchmark_prints_what_the_preflight_counts() -> None:
    counted = count_bytes(search_config(10))
    assert (counted.fan_out, counted.problems) == ("loop", 0)
    assert counted.ir > 10_000
    assert 5_000 < counted.job < 50_000
