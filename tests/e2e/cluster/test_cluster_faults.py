"""What clusters do to pods: each ends with the right archive, or with what is missing counted."""

from __future__ import annotations

import json
from typing import Any

from cluster_search import (
    RUN,
    config_of,
    evaluate_here,
    generation,
    generation_arguments,
    initialise,
    lasting,
    propose,
    rest,
    select,
    whole,
)
from given_cluster import Namespace, gone, wait_for
from programs import session

from pipelines.profile import ClusterProfile

Object = dict[str, Any]

INDEX_LABEL = "batch.kubernetes.io/job-completion-index"
POPULATION = "generations/000/population.json"
# All candidates of a generation in one pod.
TOGETHER = 5
# Python starts in it; torch does not.
TOO_LITTLE = {"cpu": "100m", "memory": "64Mi"}
# Mostly "OOMKilled (exit 137)": now and then a runtime misses why the kernel killed a container.
OUT_OF_MEMORY = "(exit 137)"


def starved(namespace: Namespace, **changes: Any) -> ClusterProfile:
    """A profile whose training pods are killed for their memory."""
    resources = {
        "requests": TOO_LITTLE,
        "limits": {**TOO_LITTLE, "cpu": "1"},
        "gpu": 0,
        "gpu_resource": "nvidia.com/gpu",
    }
    return namespace.profile(
        workers__resources=resources, workers__shared_memory=None, workers__retries=0, **changes
    )


def test_a_killed_worker_is_replaced(
    namespace: Namespace, store: str, expected_of_lasting: bytes
) -> None:
    profile = namespace.profile(workers__retries=1, max_failed_fraction=0.0, parallelism=1)
    pod = namespace.start_session(RUN, *whole(store, profile, lasting(), size=TOGETHER))
    job = namespace.job_at_work(store, RUN, pod)
    victim = namespace.worker_at_work(job, pod)
    namespace.remove(namespace.path("pods", victim["metadata"]["name"]), 1)
    namespace.finish(pod)
    ended = namespace.read(namespace.jobs_path(job["metadata"]["name"])) or {}
    assert ended["status"]["failed"] == 1
    assert namespace.archive(store, RUN) == expected_of_lasting


def test_an_evicted_worker_costs_no_retry(
    namespace: Namespace, store: str, expected_of_lasting: bytes
) -> None:
    """It has none: were an eviction counted as a failure, the search would end here."""
    profile = namespace.profile(workers__retries=0, max_failed_fraction=0.0, parallelism=1)
    pod = namespace.start_session(RUN, *whole(store, profile, lasting(), size=TOGETHER))
    job = namespace.job_at_work(store, RUN, pod)
    victim = namespace.worker_at_work(job, pod)["metadata"]
    # It does not listen to SIGTERM: given the usual 30 s it would come to its end by itself.
    namespace.evict(victim["name"], seconds=1)
    namespace.finish(pod)
    index = {INDEX_LABEL: victim["labels"][INDEX_LABEL]}
    replaced = namespace.workers(job, **index)
    assert victim["uid"] not in {each["metadata"]["uid"] for each in replaced}
    assert [each["status"]["phase"] for each in replaced] == ["Succeeded"]
    ended = namespace.read(namespace.jobs_path(job["metadata"]["name"])) or {}
    assert not ended["status"].get("failed")
    assert namespace.archive(store, RUN) == expected_of_lasting


def test_a_stage_whose_workers_ran_out_of_memory_says_so_and_goes_on_with_more(
    namespace: Namespace, store: str, expected: dict[int, bytes]
) -> None:
    profile = starved(namespace, max_failed_fraction=0.0)
    steps = [initialise(store, config_of()), generation(store, 0, profile)]
    log = namespace.finish(namespace.start_session(RUN, *steps), expected="Failed")
    assert OUT_OF_MEMORY in log
    assert "run the same command again" in log
    namespace.run_session(RUN, *rest(store, namespace.profile(), config_of()))
    assert namespace.archive(store, RUN) == expected[0]


def test_what_a_worker_without_memory_leaves_out_is_counted_as_failed(
    namespace: Namespace, store: str
) -> None:
    config = config_of(max_missing_fraction=0.5)
    profile = starved(namespace, max_failed_fraction=0.5)

    def start(where: str) -> list[Object]:
        # Of three chunks the second is left.
        here = [evaluate_here(where, 0, chunk) for chunk in (0, 2)]
        return [initialise(where, config), propose(where, 0), *here]

    log = namespace.run_session(RUN, *start(store), generation(store, 0, profile))
    assert OUT_OF_MEMORY in log
    assert "1 of 3 chunks of generations/000 have no evaluations" in log
    assert "selection counts them as failed" in log

    folder = "/tmp/store"
    shown = {"show": f"runs/{RUN}/{POPULATION}", "store": folder}
    alone = namespace.run_session(RUN, *start(folder), select(folder, 0), shown)
    (population,) = namespace.show(store, RUN, POPULATION)
    assert [population] == list(session.shown(alone).values())
    assert json.loads(population)


def test_a_watching_step_that_was_killed_adopts_its_job(
    namespace: Namespace, store: str, expected: dict[int, bytes]
) -> None:
    profile = namespace.profile(parallelism=1)
    log = namespace.run_session(
        RUN,
        initialise(store, config_of()),
        # It dies before it has proposed anything.
        generation(store, 0, profile, kill_at="created the Job"),
        generation(store, 0, profile),
        *rest(store, profile, config_of(), first=1),
    )
    assert session.KILLED in log
    assert log.count("generations/000: created the Job") == 1
    assert "generations/000: adopted the Job" in log
    assert len(namespace.jobs(store, RUN)) == 3
    assert namespace.archive(store, RUN) == expected[0]


def test_a_watching_step_that_is_evicted_leaves_its_job_to_the_next(
    namespace: Namespace, store: str, expected: dict[int, bytes]
) -> None:
    profile = namespace.profile(parallelism=1)
    namespace.run_session(RUN, initialise(store, config_of()))
    watcher = namespace.start_step(profile, RUN, generation_arguments(store, 0, profile))
    namespace.says(watcher, "created the Job")
    (job,) = namespace.jobs(store, RUN)
    namespace.evict(watcher)
    gone(namespace, namespace.path("pods", watcher))
    still = namespace.read(namespace.jobs_path(job["metadata"]["name"]))
    assert still is not None
    assert "deletionTimestamp" not in still["metadata"]
    namespace.run_session(RUN, *rest(store, profile, config_of()))
    jobs = {each["metadata"]["uid"] for each in namespace.jobs(store, RUN)}
    assert job["metadata"]["uid"] in jobs
    assert len(jobs) == 3
    assert namespace.archive(store, RUN) == expected[0]


def test_cancel_leaves_nothing_behind(namespace: Namespace, store: str) -> None:
    profile = namespace.profile()
    namespace.run_session(RUN, initialise(store, config_of()))
    watcher = namespace.start_step(profile, RUN, generation_arguments(store, 0, profile))
    job = namespace.job_at_work(store, RUN, watcher)
    namespace.worker_at_work(job, watcher)
    # What engines and users do to end a step: SIGTERM, and time to clean up.
    namespace.remove(namespace.path("pods", watcher), 30)
    gone(namespace, namespace.path("pods", watcher))
    gone(namespace, namespace.jobs_path(job["metadata"]["name"]))
    wait_for(lambda: not namespace.workers(job), "the end of the pods", 120.0)
    assert not namespace.jobs(store, RUN)


def test_a_job_that_is_deleted_under_its_watcher_is_made_anew(
    namespace: Namespace, store: str, expected: dict[int, bytes]
) -> None:
    profile = namespace.profile(parallelism=1)
    pod = namespace.start_session(RUN, *whole(store, profile, config_of()))
    job = namespace.job_at_work(store, RUN, pod)
    namespace.worker_at_work(job, pod)
    namespace.remove(namespace.jobs_path(job["metadata"]["name"]))
    log = namespace.finish(pod)
    assert "generations/000: the Job" in log
    assert "was deleted" in log
    assert log.count("generations/000: created the Job") == 2
    assert namespace.archive(store, RUN) == expected[0]
