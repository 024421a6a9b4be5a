"""What a search will ask of a cluster, counted before anything is sent there.

Pods, bytes and requests follow from the configuration and the profile alone; the pipeline is really
compiled for its size. A plan that cannot fit is refused with the number, the limit and a remedy.
"""

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from evoptim.config import RunConfig
from evoptim.errors import InputError
from evoptim.steps.evaluate import WORKERS_VARIABLE
from evoptim.store import Stage
from pipelines.compiler import compile_search
from pipelines.job import Work, build_job
from pipelines.profile import ClusterProfile
from pipelines.quota import Quota, quota_of
from pipelines.store_requests import store_requests

Target = Literal["kfp", "argo"]

WORKFLOW_LIMIT = 1024 * 1024
"""Bytes that a Workflow may have, specification and status together (Argo's own ceiling)."""
ARGUMENT_LIMIT = 128 * 1024
"""Bytes of one argument of a process (Linux, MAX_ARG_STRLEN): KFP passes all inputs as one."""
OBJECT_LIMIT = 1536 * 1024
"""Bytes of one object in the API server (etcd's limit on requests)."""

# A looped task of KFP 2.17 on a stock install left 2.6 KB of status in its Workflow, in three pods:
# the driver of the iteration, the driver of the container, the container. Measured there with
# KFP's default retries, which double the nodes.
_KFP_STATUS_BYTES_PER_POD = 2_600 / 3
# A task in a withParam loop of Argo 3.7.
_ARGO_STATUS_BYTES_PER_POD = 190
# Templates that KFP's compiler to Argo adds around the components.
_KFP_TEMPLATE_BYTES = 20_000
# What stands around the inputs in KFP's --executor_input, names, types, output paths, and in Argo's
# template, where it is the environment and the mounts.
_EXECUTOR_INPUT_BYTES = 4_000


@dataclass(frozen=True)
class StagePlan:
    """One generation, or the finals."""

    name: str
    generation: int | None
    candidates: int
    chunks: int
    workflow_pods: int
    """Pods that are nodes of the workflow."""
    job_pods: int
    """Pods of its Indexed Job."""


@dataclass(frozen=True)
class Plan:
    """What a search will ask of a cluster."""

    target: Target
    fan_out: Literal["loop", "job"]
    candidates_per_task: int
    parallelism: int
    stages: tuple[StagePlan, ...]
    ir_bytes: int
    """The compiled pipeline."""
    workflow_bytes: int
    """The Workflow object at the end: specification, arguments and status, estimated."""
    argument_bytes: int
    """The largest argument of a process."""
    job_bytes: int
    """The largest Job object, with the worst status that it can have; 0 without Jobs."""
    quota: Quota
    s3_requests: int
    evaluation_seconds: float | None
    """The longest that the tasks of one pod may take by the protocol; None for no limit."""
    timeout_seconds: int
    """When a training pod is ended."""

    @property
    def largest(self) -> StagePlan:
        """The stage with the most tasks."""
        return max(self.stages, key=lambda stage: stage.chunks)

    @property
    def pods(self) -> int:
        """Pods of the whole run."""
        return sum(stage.workflow_pods + stage.job_pods for stage in self.stages)

    @property
    def candidates(self) -> int:
        """Evaluations of the whole run."""
        return sum(stage.candidates for stage in self.stages)


@dataclass(frozen=True)
class Problem:
    """Why a plan cannot fit."""

    what: str
    number: int
    limit: int
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}: {self.number:,} exceeds the limit of {self.limit:,}: {self.remedy}"


def make_plan(
    config: RunConfig,
    profile: ClusterProfile,
    target: Target = "kfp",
    compiled: str | None = None,
) -> Plan:
    """Count what this search will ask of a cluster.

    Args:
        config: What is searched.
        profile: How it runs there. Where it leaves the fan-out open, a loop is planned if all its
            numbers stay below half of their limits, else Jobs.
        target: The engine.
        compiled: The compiled pipeline; None compiles it, which only KFP's can be here.

    Raises:
        InputError: the pipeline cannot be compiled.
    """
    if profile.fan_out == "auto":
        loop = make_plan(config, profile.model_copy(update={"fan_out": "loop"}), target, compiled)
        if not problems(loop, margin=2.0):
            return loop
        return make_plan(config, profile.model_copy(update={"fan_out": "job"}), target, compiled)
    fan_out: Literal["loop", "job"] = "job" if profile.fan_out == "job" else "loop"
    if compiled is None:
        compiled = (
            compile_search(config.search.generations, profile=profile, fan_out=fan_out)
            if target == "kfp"
            else ""
        )
    stages = plan_stages(config, profile.candidates_per_task, target, fan_out)
    ir_bytes = len(compiled.encode())
    config_bytes = len(json.dumps(config.model_dump_json()))
    timeout = config.protocol.timeout_seconds
    return Plan(
        target=target,
        fan_out=fan_out,
        candidates_per_task=profile.candidates_per_task,
        parallelism=profile.parallelism,
        stages=stages,
        ir_bytes=ir_bytes,
        workflow_bytes=_workflow_bytes(stages, target, fan_out, ir_bytes, config_bytes),
        argument_bytes=_argument_bytes(profile, stages, target, fan_out, config_bytes),
        job_bytes=_job_bytes(profile, stages) if fan_out == "job" else 0,
        quota=quota_of(profile, {each.generation: each.chunks for each in stages}, target, fan_out),
        s3_requests=store_requests(
            [(each.generation, each.candidates) for each in stages],
            profile.candidates_per_task,
            watched=fan_out == "job",
        ),
        evaluation_seconds=None if timeout is None else timeout * _rounds(profile),
        timeout_seconds=profile.workers.timeout_seconds,
    )


def plan_stages(
    config: RunConfig, candidates_per_task: int, target: Target, fan_out: Literal["loop", "job"]
) -> tuple[StagePlan, ...]:
    """Every stage of the run; the first and the last step of all are counted with the finals."""
    search = config.search
    children = search.particles * search.children
    rescored = search.particles if config.initial_protocol is not None else 0
    sizes: list[tuple[int | None, int]] = [(0, search.initial)]
    for number in range(1, search.generations + 1):
        sizes.append((number, children + (rescored if number == 1 else 0)))
    sizes.append((None, config.finals.candidates + len(config.baselines)))
    return tuple(
        _stage(number, size, math.ceil(size / candidates_per_task), target, fan_out)
        for number, size in sizes
    )


def _stage(
    number: int | None, candidates: int, chunks: int, target: Target, fan_out: str
) -> StagePlan:
    # In a Job one step does all of a generation.
    whole = number is not None and fan_out == "job"
    steps = 0 if whole else 1 if number is None else 2
    # initialise and report
    around = 2 if number is None else 0
    if target == "kfp":
        # Two pods for each step, a driver and its container; one driver for a stage of several, one
        # for the loop, and three pods for each of its tasks; one driver for the whole pipeline.
        fanned = 1 + 3 * chunks if fan_out == "loop" else 2
        stage = 0 if whole else 1
        pods = stage + 2 * steps + fanned + (2 * around + 1 if number is None else 0)
    else:
        pods = steps + around + (chunks if fan_out == "loop" else 1)
    name = "finals" if number is None else f"generation {number}"
    return StagePlan(name, number, candidates, chunks, pods, chunks if fan_out == "job" else 0)


def _workflow_bytes(
    stages: Iterable[StagePlan], target: Target, fan_out: str, ir_bytes: int, config_bytes: int
) -> int:
    stages = tuple(stages)
    pods = sum(stage.workflow_pods for stage in stages)
    if target == "kfp":
        # The configuration is an argument of the root's driver and one of the first step.
        specification = ir_bytes + _KFP_TEMPLATE_BYTES + 2 * config_bytes
        return specification + math.ceil(_KFP_STATUS_BYTES_PER_POD * pods)
    # The list that a loop runs over is an output of one node and an input of another.
    lists = sum(map(_list_bytes, stages))
    status = _ARGO_STATUS_BYTES_PER_POD * pods + (2 * lists if fan_out == "loop" else 0)
    return ir_bytes + config_bytes + status


def _argument_bytes(
    profile: ClusterProfile,
    stages: Iterable[StagePlan],
    target: Target,
    fan_out: str,
    config_bytes: int,
) -> int:
    """The largest text that a process is started with.

    KFP's drivers are given the list of a loop. Argo keeps that to itself, but gives its container
    the whole template, in which the configuration stands.
    """
    if fan_out == "job":
        # The driver of the whole pipeline is given both, as the inputs that they are.
        texts = (config_bytes, len(profile.canonical_json()))
        return _EXECUTOR_INPUT_BYTES + (sum(texts) if target == "kfp" else max(texts))
    other = max(_list_bytes(each) for each in stages) if target == "kfp" else 0
    return _EXECUTOR_INPUT_BYTES + max(config_bytes, other)


def _list_bytes(stage: StagePlan) -> int:
    """The numbers of a stage's tasks, as JSON."""
    return len(json.dumps(list(range(stage.chunks))))


def _job_bytes(profile: ClusterProfile, stages: Iterable[StagePlan]) -> int:
    """The Job of the largest stage when every second of its tasks is done: the longest list."""
    largest = max(stages, key=lambda stage: stage.chunks)
    stage = Stage.finals() if largest.generation is None else Stage.generation(largest.generation)
    work = Work("s3://" + "b" * 63 + "/" + "p" * 128, "r" * 63, stage, profile.candidates_per_task)
    job = build_job(profile, work, range(largest.chunks), largest.chunks)
    done = sum(len(str(index)) + 1 for index in range(0, largest.chunks, 2))
    # The API server adds who changed what, and the status' other fields.
    return len(json.dumps(job)) + done + 8_192


def _rounds(profile: ClusterProfile) -> int:
    """How many evaluations one pod makes one after another."""
    text = profile.environment.literals.get(WORKERS_VARIABLE, "1")
    at_a_time = int(text) if text.isdecimal() and int(text) else 1
    return math.ceil(profile.candidates_per_task / at_a_time)


def problems(plan: Plan, margin: float = 1.0) -> tuple[Problem, ...]:
    """Everything that does not fit.

    Args:
        plan: The plan.
        margin: By how much each limit is divided.
    """
    found = []

    def check(what: str, number: int, limit: int, remedy: Callable[[], str]) -> None:
        if number > limit / margin:
            found.append(Problem(what, number, limit, remedy()))

    largest = plan.largest
    check(
        f"bytes of the Workflow object with {len(plan.stages) - 1} generations, the largest of "
        f"{largest.chunks:,} tasks",
        plan.workflow_bytes,
        WORKFLOW_LIMIT,
        lambda: _smaller_workflow(plan),
    )
    check(
        "bytes of the largest argument of a step",
        plan.argument_bytes,
        ARGUMENT_LIMIT,
        lambda: _smaller_argument(plan),
    )
    check(
        "bytes of the largest Job object",
        plan.job_bytes,
        OBJECT_LIMIT,
        lambda: "raise candidates_per_task, or shorten environment and annotations of the profile",
    )
    seconds = math.ceil(plan.evaluation_seconds or 0)
    if seconds > plan.timeout_seconds:
        found.append(
            Problem(
                "seconds that one pod may train by protocol.timeout_seconds",
                seconds,
                plan.timeout_seconds,
                f"raise workers.timeout_seconds to at least {seconds + 600}, or lower "
                "candidates_per_task",
            )
        )
    return tuple(found)


def check_plan(plan: Plan) -> None:
    """Refuse a plan that cannot fit.

    Raises:
        InputError: with the number, the limit and what to change.
    """
    found = problems(plan)
    if found:
        others = "".join(f"; {each}" for each in found[1:])
        raise InputError(f"this search does not fit: {found[0]}{others}")


def _smaller_workflow(plan: Plan) -> str:
    """What makes the workflow fit."""
    if plan.fan_out == "loop":
        size = _fitting_size(plan)
        raised = "" if size is None else f", or candidates_per_task to at least {size}"
        return f"set fan_out to job{raised}"
    # What leaving out one generation saves at least.
    saved = 500 + (
        _KFP_STATUS_BYTES_PER_POD if plan.target == "kfp" else _ARGO_STATUS_BYTES_PER_POD
    ) * min(stage.workflow_pods for stage in plan.stages)
    too_many = math.ceil((plan.workflow_bytes - WORKFLOW_LIMIT) / saved)
    fit = len(plan.stages) - 2 - too_many
    elsewhere = (
        ", or use Argo without KFP, which keeps less of each step" if plan.target == "kfp" else ""
    )
    return f"lower search.generations to {max(0, fit)}{elsewhere}"


def _smaller_argument(plan: Plan) -> str:
    """What makes the arguments fit."""
    if plan.target == "kfp" and plan.fan_out == "loop":
        return "set fan_out to job, raise candidates_per_task, or shorten the configuration"
    if plan.fan_out == "job":
        return "shorten the configuration, or environment and annotations of the profile"
    return "shorten the configuration"


def _fitting_size(plan: Plan) -> int | None:
    """The least chunk size with which a loop fits."""
    bytes_per_pod = (
        _KFP_STATUS_BYTES_PER_POD if plan.target == "kfp" else _ARGO_STATUS_BYTES_PER_POD
    )
    now = sum(stage.workflow_pods for stage in plan.stages)
    rest = plan.workflow_bytes - bytes_per_pod * now

    def fits(size: int) -> bool:
        stages = [
            _stage(
                each.generation,
                each.candidates,
                math.ceil(each.candidates / size),
                plan.target,
                "loop",
            )
            for each in plan.stages
        ]
        pods = sum(stage.workflow_pods for stage in stages)
        return rest + bytes_per_pod * pods <= WORKFLOW_LIMIT

    low, high = plan.candidates_per_task, plan.largest.candidates
    if not fits(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle + 1, high)
    return low


def plan_text(plan: Plan) -> str:
    """The plan as a table for people."""
    quota = plan.quota
    largest = plan.largest
    engine = {"kfp": "KFP", "argo": "Argo"}[plan.target]
    fan_out = f"{engine}'s own loop" if plan.fan_out == "loop" else "one Indexed Job a stage"
    rows = [
        ("fan-out", fan_out, ""),
        ("evaluations", f"{plan.candidates:,}", ""),
        ("tasks of the largest stage", f"{largest.chunks:,} ({largest.name})", ""),
        ("pods of the largest stage", f"{largest.workflow_pods + largest.job_pods:,}", ""),
        ("pods of the whole run", f"{plan.pods:,}", ""),
        ("pods at a time", f"{quota.pods:,}", ""),
        ("they request", _amounts(quota.cpu_requests, quota.memory_requests), ""),
        ("they are limited to", _amounts(quota.cpu_limits, quota.memory_limits), ""),
        *([("GPUs at a time", f"{quota.gpus:,}", "")] if quota.gpus else []),
        ("compiled pipeline", _bytes(plan.ir_bytes), ""),
        ("Workflow object at its end", _bytes(plan.workflow_bytes), _bytes(WORKFLOW_LIMIT)),
        ("largest argument of a step", _bytes(plan.argument_bytes), _bytes(ARGUMENT_LIMIT)),
        *(
            [("largest Job object", _bytes(plan.job_bytes), _bytes(OBJECT_LIMIT))]
            if plan.fan_out == "job"
            else []
        ),
        ("S3 requests", f"{plan.s3_requests:,}", ""),
    ]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "\n".join(
        f"{what:<{widths[0]}}  {number:>{widths[1]}}{f'  of {limit}' if limit else ''}".rstrip()
        for what, number, limit in rows
    )


def with_fan_out(profile: ClusterProfile, plan: Plan) -> ClusterProfile:
    """The profile with the fan-out that was planned in place of ``auto``."""
    return profile.model_copy(update={"fan_out": plan.fan_out})


def _bytes(number: int) -> str:
    return f"{number / 1024:,.1f} KiB"


def _amounts(cpu: Decimal, memory: Decimal) -> str:
    return f"{cpu.normalize():f} CPU, {memory / 2**30:,.1f} GiB"
