"""What a namespace must have free for a search to run as planned: pods, cores, memory, GPUs."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from pipelines.profile import ClusterProfile, PodProfile
from pipelines.quantity import amount

_Side = Literal["requests", "limits"]

# What KFP asks for each of its drivers.
_DRIVER = {
    "requests": {"cpu": "100m", "memory": "64Mi"},
    "limits": {"cpu": "500m", "memory": "512Mi"},
}
# What the manifests' LimitRange gives to a container that states nothing, as the one does that Argo
# puts into each pod of a workflow, KFP's too.
_ENGINE = _DRIVER


@dataclass(frozen=True)
class Quota:
    """What the namespace must have free for the search to run as planned."""

    pods: int
    cpu_requests: Decimal
    memory_requests: Decimal
    cpu_limits: Decimal
    memory_limits: Decimal
    gpus: int


@dataclass(frozen=True)
class _Together:
    """Pods that run at the same time."""

    workers: int
    steps: int
    drivers: int

    @property
    def pods(self) -> int:
        return self.workers + self.steps + self.drivers


def quota_of(
    profile: ClusterProfile,
    tasks: Mapping[int | None, int],
    target: Literal["kfp", "argo"],
    fan_out: Literal["loop", "job"],
) -> Quota:
    """The most that a search takes at a time.

    Generations and finals follow one another. The profile's parallelism is that of each loop or
    Job; Argo's own loop alone counts against it all pods of the workflow.

    Args:
        profile: How pods run.
        tasks: Tasks of each generation, and under None those of the finals.
        target: The engine.
        fan_out: Who starts the tasks' pods.
    """
    workers = min(profile.parallelism, max(tasks.values()))
    possible = [_Together(workers, 1, _drivers(workers, target, fan_out))]
    if target == "argo" and fan_out == "loop":
        # A step, or the pods of a loop.
        possible = [
            _Together(min(workers, profile.parallelism - steps), steps, 0) for steps in (0, 1)
        ]

    def most(side: _Side, name: str) -> Decimal:
        return max(_total(profile, each, fan_out, side, name) for each in possible)

    gpus = (profile.workers.resources.gpu, profile.steps.resources.gpu)
    return Quota(
        pods=max(each.pods for each in possible),
        cpu_requests=most("requests", "cpu"),
        memory_requests=most("requests", "memory"),
        cpu_limits=most("limits", "cpu"),
        memory_limits=most("limits", "memory"),
        gpus=max(each.workers * gpus[0] + each.steps * gpus[1] for each in possible),
    )


def _drivers(workers: int, target: str, fan_out: str) -> int:
    """KFP's own pods: one for each step at work, and for each task of a loop."""
    if target == "argo":
        return 0
    return 1 + (workers if fan_out == "loop" else 0)


def _total(
    profile: ClusterProfile, together: _Together, fan_out: str, side: _Side, name: str
) -> Decimal:
    def of(pods: PodProfile) -> Decimal:
        return amount(getattr(getattr(pods.resources, side), name))

    # Pods of a Job are no pods of the workflow.
    of_workflow = together.pods - (together.workers if fan_out == "job" else 0)
    return (
        together.workers * of(profile.workers)
        + together.steps * of(profile.steps)
        + together.drivers * amount(_DRIVER[side][name])
        + of_workflow * amount(_ENGINE[side][name])
    )
