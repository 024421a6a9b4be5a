"""What a search of so many candidates asks of a cluster, by the preflight."""

from __future__ import annotations

from dataclasses import dataclass

from evoptim.config import RunConfig
from evoptim.config.reading import read_config
from pipelines.argo import compile_workflow
from pipelines.preflight import Plan, make_plan, problems, with_fan_out
from pipelines.profile_reading import read_profile


@dataclass(frozen=True)
class Bytes:
    ir: int
    argo: int
    workflow: int
    job: int
    requests: int
    fan_out: str
    problems: int


def search_config(candidates: int) -> RunConfig:
    """A search of two generations, the second of mutants, with so many candidates in the first."""
    settings = {
        # Evaluations are copies, so nobody has been tried.
        "screens.trial": None,
        "search.initial": candidates,
        "search.particles": max(1, candidates // 10),
        "search.children": 9,
        "search.generations": 1,
    }
    return read_config(settings=settings)


def count_bytes(config: RunConfig) -> Bytes:
    """The preflight's numbers, as ``evoptim compile`` comes to them."""
    profile = read_profile()
    plan: Plan = make_plan(config, profile)
    job = make_plan(config, profile.model_copy(update={"fan_out": "job"}), compiled="")
    return Bytes(
        ir=plan.ir_bytes,
        argo=len(compile_workflow(config, with_fan_out(profile, plan), plan.fan_out).encode()),
        workflow=plan.workflow_bytes,
        job=job.job_bytes,
        requests=plan.s3_requests,
        fan_out=plan.fan_out,
        problems=len(problems(plan)),
    )
