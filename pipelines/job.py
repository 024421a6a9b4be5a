"""The Indexed Job that evaluates one stage: as a manifest, and what its status says."""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evoptim.errors import InputError
from evoptim.steps.chunks import CHUNKS_VARIABLE, ranges_text
from evoptim.store import Stage
from pipelines.pod import CONTAINER, labels, pod_template, queue_labels, stage_name
from pipelines.profile import ClusterProfile

MAX_COMPLETIONS = 100_000
"""The most indices that Kubernetes counts one by one."""
# Kubernetes names the host of a pod <job>-<index>, which must be a DNS label of 63 characters.
MAX_NAME = 63 - len(f"-{MAX_COMPLETIONS - 1}")

SPEC_ANNOTATION = "evoptim.dev/spec"
"""Annotation with the SHA-256 of what the Job was made of: whoever adopts it compares."""
STORE_LABEL = "evoptim.dev/store"
"""Label with a hash of the store's URL: two stores may hold runs of one name."""
MIN_PARALLELISM_ANNOTATION = "kueue.x-k8s.io/job-min-parallelism"

INPUT_ERROR_EXIT_CODE = 2
"""What ``evoptim`` exits with when what it was given is wrong: another try would fail alike."""

# In one environment variable; longer lists are those of Jobs that start from nearly nothing, where
# a task whose chunk is evaluated already costs little.
_LONGEST_LIST = 16 * 1024

Object = dict[str, Any]


@dataclass(frozen=True)
class Work:
    """The evaluations of one stage of one run."""

    store: str
    run: str
    stage: Stage
    candidates_per_task: int

    def arguments(self) -> list[str]:
        """What follows ``evoptim`` in a pod that trains one chunk."""
        number = self.stage.number
        which = (
            ["evaluate-finals"]
            if number is None
            # Some of them start while the candidates are proposed.
            else ["evaluate", "--wait", "--generation", str(number)]
        )
        return [
            *("step", *which, "--store", self.store, "--run", self.run),
            *("--candidates-per-task", str(self.candidates_per_task)),
        ]


def build_job(profile: ClusterProfile, work: Work, chunks: Sequence[int], total: int) -> Object:
    """``batch/v1`` Job with one index for each chunk.

    Its name and its :data:`SPEC_ANNOTATION` do not depend on ``chunks``, so that a watcher which
    restarts in the middle of a stage finds the Job of the watcher before it.

    Args:
        profile: The cluster profile.
        work: What is evaluated.
        chunks: Numbers of the chunks to evaluate, ascending and distinct.
        total: Chunks of the whole stage, of which ``max_failed_fraction`` may fail.

    Raises:
        InputError: there are more chunks than a Job can count.
    """
    if len(chunks) > MAX_COMPLETIONS:
        raise InputError(
            f"an Indexed Job has at most {MAX_COMPLETIONS} tasks, got {len(chunks)}: raise "
            f"candidates_per_task to {math.ceil(len(chunks) / MAX_COMPLETIONS)} times its value"
        )
    template = pod_template(profile, "worker", work.arguments(), work.run, work.stage)
    completions = len(chunks)
    fixed = {
        "completionMode": "Indexed",
        "backoffLimitPerIndex": profile.workers.retries,
        "activeDeadlineSeconds": profile.stage_timeout_seconds,
        "ttlSecondsAfterFinished": profile.job_ttl_seconds,
        # A second pod of an index starts only when the first is really gone.
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {"rules": _FAILURE_RULES},
    }
    shared = {
        "labels": {**job_labels(profile, work), **queue_labels(profile)},
        "parallelism": profile.parallelism,
        "allowed": allowed_failures(profile, total),
    }
    digest = _digest([fixed, shared, template])
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(work, digest),
            "namespace": profile.namespace,
            "labels": shared["labels"],
            "annotations": {
                **profile.annotations,
                **_min_parallelism(profile, completions),
                SPEC_ANNOTATION: digest,
            },
        },
        "spec": {
            **fixed,
            "completions": completions,
            "parallelism": min(profile.parallelism, completions),
            "maxFailedIndexes": min(allowed_failures(profile, total), completions),
            "template": _with_chunks(template, chunks, total),
        },
    }


# Rules are tried in this order. What no rule names counts against the retries of its index.
_FAILURE_RULES: list[Object] = [
    # Preempted, drained, evicted: not the candidate's fault.
    {
        "action": "Ignore",
        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
    },
    # Every pod is given the same store, run and configuration, so every pod would be refused.
    {
        "action": "FailJob",
        "onExitCodes": {
            "containerName": CONTAINER,
            "operator": "In",
            "values": [INPUT_ERROR_EXIT_CODE],
        },
    },
]


def allowed_failures(profile: ClusterProfile, total: int) -> int:
    """How many of a stage's tasks may fail for good."""
    # 0.1 * 30 is a hair above 3 in floating point, 0.29 * 100 one below 29.
    return math.floor(round(profile.max_failed_fraction * total, 6))


def job_labels(profile: ClusterProfile, work: Work) -> dict[str, str]:
    """Labels of the Job, and how the Jobs of a run and stage are found."""
    return {
        **labels(profile, "worker", work.run, work.stage),
        STORE_LABEL: _digest(work.store)[:16],
    }


def job_name(work: Work, digest: str) -> str:
    """A name of at most :data:`MAX_NAME` characters: run, stage and a hash.

    Args:
        work: What is evaluated.
        digest: Hash of the Job's specification.
    """
    # The hash tells apart what shortening makes equal.
    ending = f"-{stage_name(work.stage)}-{_digest([work.store, work.run, digest])[:10]}"
    start = f"evoptim-{work.run}"[: MAX_NAME - len(ending)].rstrip("-")
    return start + ending


def _with_chunks(template: Object, chunks: Sequence[int], total: int) -> Object:
    """The template, told the chunks of its indices where these are not all chunks of the stage."""
    if len(chunks) == total:
        return template
    (container,) = template["spec"]["containers"]
    told = {"name": CHUNKS_VARIABLE, "value": ranges_text(chunks)}
    container = {**container, "env": [*container["env"], told]}
    return {**template, "spec": {**template["spec"], "containers": [container]}}


def worth_listing(chunks: Sequence[int]) -> bool:
    """Whether a Job of only these chunks is possible, or the list of them is too long."""
    return len(ranges_text(chunks)) <= _LONGEST_LIST


def _min_parallelism(profile: ClusterProfile, completions: int) -> dict[str, str]:
    queue = profile.queue
    if queue is None or queue.min_parallelism is None:
        return {}
    fits = min(queue.min_parallelism, profile.parallelism, completions)
    return {MIN_PARALLELISM_ANNOTATION: str(fits)}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
