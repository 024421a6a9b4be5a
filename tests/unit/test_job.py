"""The Indexed Job's manifest and how its status is read."""

from __future__ import annotations

import json
from typing import Any

import kubernetes_validate
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kubernetes_api.scripted import failed_pod, pod

from evoptim.config.run import MAX_CANDIDATES
from evoptim.errors import InputError
from evoptim.steps.chunks import CHUNKS_VARIABLE
from evoptim.store import Stage
from pipelines.job import (
    MAX_COMPLETIONS,
    MAX_NAME,
    SPEC_ANNOTATION,
    Work,
    allowed_failures,
    build_job,
    job_name,
)
from pipelines.job_status import count_indices, pod_trouble, read_status, refusal, trouble
from pipelines.profile import ClusterProfile
from pipelines.profile_reading import read_profile

WORK = Work("s3://bucket/prefix", "first", Stage.generation(3), 2)
FULL = """
image: registry.example/evoptim@sha256:aa
image_pull_secrets: [registry]
workers:
  resources: {gpu: 1, limits: {memory: 8Gi}}
  shared_memory: 1Gi
  node_selector: {gpu: l4}
  node_affinity:
    - {expressions: [{key: zone, values: [a]}, {key: cores, operator: Gt, values: ['4']}]}
    - {expressions: [{key: spot, operator: Exists}], weight: 5}
  tolerations:
    - {key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}
    - {key: slow, value: 'yes', effect: NoExecute, toleration_seconds: 30}
  annotations: {note: hello}
mounts:
  - {kind: claim, name: images, path: /data, read_only: true}
  - {kind: config_map, name: ca, path: /ca}
  - {kind: secret, name: aws, path: /aws}
security: {run_as_user: 1000, run_as_group: 1000, fs_group: 1000}
queue: {name: gpus, priority_class: high}
labels: {team: vision}
"""

run_names = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
stages = st.one_of(
    st.just(Stage.finals()), st.integers(min_value=0, max_value=999).map(Stage.generation)
)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)


@pytest.mark.parametrize("version", ["1.33", "1.34", "1.37"])
@pytest.mark.parametrize("text", ["", FULL], ids=["default", "full"])
@pytest.mark.parametrize("chunks", [range(7), [1, 4, 5]], ids=["all", "some"])
def test_the_job_is_what_kubernetes_takes(version: str, text: str, chunks: Any) -> None:
    job = build_job(read_profile(text), WORK, chunks, 7)
    kubernetes_validate.validate(job, version, strict=True)


def test_the_job_counts_its_tasks_one_by_one() -> None:
    profile = read_profile(settings={"max_failed_fraction": 0.2, "parallelism": 4})
    spec = build_job(profile, WORK, range(10), 10)["spec"]
    expected = {
        "completionMode": "Indexed",
        "completions": 10,
        "parallelism": 4,
        "backoffLimitPerIndex": 2,
        "maxFailedIndexes": 2,
        "podReplacementPolicy": "Failed",
        "activeDeadlineSeconds": 604800,
        "ttlSecondsAfterFinished": 86400,
    }
    assert {name: spec[name] for name in expected} == expected
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    ignored, fatal = spec["podFailurePolicy"]["rules"]
    assert (ignored["action"], ignored["onPodConditions"][0]["type"]) == (
        "Ignore",
        "DisruptionTarget",
    )
    assert (fatal["action"], fatal["onExitCodes"]["values"]) == ("FailJob", [2])
    (container,) = spec["template"]["spec"]["containers"]
    assert fatal["onExitCodes"]["containerName"] == container["name"]


@pytest.mark.parametrize(
    ("stage", "step"),
    [
        (Stage.generation(12), ["evaluate", "--wait", "--generation", "12"]),
        (Stage.finals(), ["evaluate-finals"]),
    ],
)
def test_each_pod_runs_the_step_of_its_stage(stage: Stage, step: list[str]) -> None:
    job = build_job(ClusterProfile(), Work("store", "first", stage, 5), range(3), 3)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["evoptim"]
    assert container["args"] == [
        *("step", *step, "--store", "store", "--run", "first", "--candidates-per-task", "5")
    ]


def test_few_tasks_need_no_more_pods_than_tasks() -> None:
    spec = build_job(read_profile(settings={"max_failed_fraction": 0.5}), WORK, [3, 9], 10)["spec"]
    assert (spec["completions"], spec["parallelism"], spec["maxFailedIndexes"]) == (2, 2, 2)


def test_whoever_comes_back_finds_the_job_by_its_name() -> None:
    all_of_it, rest = (build_job(ClusterProfile(), WORK, chunks, 9) for chunks in (range(9), [2]))
    assert all_of_it["metadata"] == rest["metadata"]
    assert all_of_it["spec"] != rest["spec"]
    (container,) = rest["spec"]["template"]["spec"]["containers"]
    assert {"name": CHUNKS_VARIABLE, "value": "2"} in container["env"]


@pytest.mark.parametrize(
    "other",
    [
        Work("s3://bucket/another", "first", Stage.generation(3), 2),
        Work("s3://bucket/prefix", "second", Stage.generation(3), 2),
        Work("s3://bucket/prefix", "first", Stage.generation(4), 2),
        Work("s3://bucket/prefix", "first", Stage.finals(), 2),
        Work("s3://bucket/prefix", "first", Stage.generation(3), 1),
    ],
)
def test_different_work_has_different_names(other: Work) -> None:
    ours, theirs = (build_job(ClusterProfile(), work, range(9), 9) for work in (WORK, other))
    assert ours["metadata"]["name"] != theirs["metadata"]["name"]
    assert (
        ours["metadata"]["annotations"][SPEC_ANNOTATION]
        != theirs["metadata"]["annotations"][SPEC_ANNOTATION]
    )


@pytest.mark.parametrize(
    "setting",
    [{"image": "evoptim:2"}, {"parallelism": 9}, {"workers.retries": 0}, {"labels": {"a": "b"}}],
)
def test_another_profile_makes_another_job(setting: dict[str, Any]) -> None:
    ours, theirs = (
        build_job(profile, WORK, range(9), 9)["metadata"]["name"]
        for profile in (ClusterProfile(), read_profile(settings=setting))
    )
    assert ours != theirs


def test_kueue_takes_the_job_not_its_pods() -> None:
    profile = read_profile("queue: {name: gpus, priority_class: high}\nparallelism: 4")
    job = build_job(profile, WORK, range(9), 9)
    queue = {"kueue.x-k8s.io/queue-name": "gpus", "kueue.x-k8s.io/priority-class": "high"}
    assert queue.items() <= job["metadata"]["labels"].items()
    assert job["metadata"]["annotations"]["kueue.x-k8s.io/job-min-parallelism"] == "1"
    assert not [key for key in job["spec"]["template"]["metadata"]["labels"] if "kueue" in key]


def test_more_tasks_than_a_job_can_count_are_refused() -> None:
    with pytest.raises(InputError, match="at most 100000 tasks, got 100001: raise"):
        build_job(ClusterProfile(), WORK, range(100_001), 100_001)


def test_a_job_can_count_the_largest_generation_that_a_search_may_have() -> None:
    assert MAX_CANDIDATES <= MAX_COMPLETIONS


def test_ten_thousand_tasks_make_no_larger_a_job() -> None:
    small, large = (
        len(json.dumps(build_job(ClusterProfile(), WORK, range(n), n))) for n in (10, 100_000)
    )
    assert large - small < 20


@given(run_names, stages, digests)
def test_names_fit_into_the_names_of_pods(run: str, stage: Stage, digest: str) -> None:
    name = job_name(Work("store", run, stage, 1), digest)
    assert len(name) <= MAX_NAME
    # The host of the last pod.
    assert len(f"{name}-99999") <= 63
    assert name.strip("-") == name
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


@given(st.lists(run_names, min_size=2, max_size=20, unique=True), stages, digests)
def test_names_of_different_runs_differ(runs: list[str], stage: Stage, digest: str) -> None:
    assert len({job_name(Work("store", run, stage, 1), digest) for run in runs}) == len(runs)


@example(29, 100)
@given(
    st.integers(min_value=0, max_value=100),
    st.integers(min_value=0, max_value=1000).map(lambda n: n * 100),
)
def test_the_fraction_that_may_fail_is_exact(percent: int, total: int) -> None:
    profile = ClusterProfile(max_failed_fraction=percent / 100)
    assert allowed_failures(profile, total) == percent * total // 100


# Status


def job_with(*conditions: str, suspend: bool = False, **status: Any) -> dict[str, Any]:
    told = [{"type": kind, "status": "True", "reason": f"R{kind}"} for kind in conditions]
    return {
        "spec": {"completions": 10, "suspend": suspend},
        "status": {"conditions": told, **status},
    }


@pytest.mark.parametrize(
    ("job", "state", "settled"),
    [
        (job_with(), "running", False),
        (job_with(suspend=True), "suspended", False),
        (job_with("FailureTarget"), "failed", False),
        (job_with("FailureTarget", "Failed"), "failed", True),
        (job_with("SuccessCriteriaMet"), "complete", False),
        (job_with("SuccessCriteriaMet", "Complete"), "complete", True),
        ({"spec": {"completions": 3}}, "running", False),
    ],
)
def test_states_of_a_job(job: dict[str, Any], state: str, settled: bool) -> None:
    status = read_status(job)
    assert (status.state, status.settled) == (state, settled)
    assert status.ended == (state in ("failed", "complete"))


def test_a_condition_that_does_not_hold_is_none() -> None:
    job = job_with()
    job["status"]["conditions"] = [{"type": "Failed", "status": "False"}]
    assert not read_status(job).ended


def test_progress_in_words() -> None:
    job = job_with(succeeded=4, failedIndexes="1,3-5", active=2, suspend=True)
    assert str(read_status(job)).startswith(
        "4 of 10 done, 4 failed, 2 active, suspended: its queue"
    )


@given(st.sets(st.integers(min_value=0, max_value=500), max_size=60))
def test_indices_are_counted_as_kubernetes_writes_them(indices: set[int]) -> None:
    from evoptim.steps.chunks import ranges_text

    assert count_indices(ranges_text(sorted(indices))) == len(indices)


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ({}, None),
        ({"containerStatuses": [{"state": {"running": {}}}]}, None),
        ({"containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}, None),
        (
            {
                "containerStatuses": [
                    {
                        "state": {
                            "waiting": {"reason": "ErrImagePull", "message": "a\nno such image"}
                        }
                    }
                ]
            },
            "ErrImagePull: no such image",
        ),
        (
            {"containerStatuses": [{"state": {"terminated": {"exitCode": 0}}}]},
            None,
        ),
        ({"reason": "DeadlineExceeded", "message": "too long"}, "DeadlineExceeded: too long"),
        (
            {
                "conditions": [
                    {
                        "type": "DisruptionTarget",
                        "status": "True",
                        "reason": "PreemptionByScheduler",
                        "message": "preempted",
                    }
                ]
            },
            "PreemptionByScheduler: preempted",
        ),
    ],
)
def test_why_a_pod_is_not_at_work(status: dict[str, Any], told: str | None) -> None:
    assert pod_trouble(pod("p", "j", "Pending", **status)) == told


def test_the_first_pod_with_a_reason_is_shown() -> None:
    pods = [pod("a", "j", "Pending"), failed_pod("b", "j", 137), failed_pod("c", "j", 1)]
    assert trouble(pods) == "b: OOMKilled (exit 137): error: it was told to"
    assert trouble([]) is None


def test_only_the_exit_code_of_a_refusal_is_a_refusal() -> None:
    assert refusal([failed_pod("b", "j", 1)]) is None
    assert refusal([failed_pod("a", "j", 1), failed_pod("b", "j", 2)]) == "it was told to"
