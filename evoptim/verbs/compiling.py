"""Compile: the search pipeline for a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from evoptim.config import RunConfig

if TYPE_CHECKING:
    from pipelines.preflight import Plan
    from pipelines.profile import ClusterProfile


@dataclass(frozen=True)
class Compiled:
    """A pipeline and what running it will take."""

    text: str
    """YAML: KFP v2 pipeline IR, or a WorkflowTemplate of Argo Workflows."""
    plan: Plan


def compile_pipeline(config: RunConfig, image: str | None = None) -> str:
    """The search as KFP v2 pipeline IR (YAML), which leaves to the cluster how pods run.

    Its parameters are ``store``, ``run``, ``config`` (this configuration as JSON) and
    ``candidates_per_task``.

    Args:
        config: Its number of generations is unrolled into the pipeline.
        image: Container image of every step; None for evoptim's own.
    """
    from pipelines import compile_search

    generations = config.search.generations
    return compile_search(generations) if image is None else compile_search(generations, image)


def compile_for_cluster(
    config: RunConfig, profile: ClusterProfile, target: Literal["kfp", "argo"] = "kfp"
) -> Compiled:
    """The search for one cluster, with how its pods run there.

    Args:
        config: What is searched; it is given to the pipeline when that is started.
        profile: The cluster profile.
        target: ``kfp``: KFP v2 pipeline IR. ``argo``: a WorkflowTemplate of Argo Workflows.

    Raises:
        InputError: the plan does not fit there; the message says what to change.
    """
    from pipelines import compile_search
    from pipelines.argo import compile_workflow
    from pipelines.preflight import check_plan, make_plan

    if target == "argo":
        # Its size hardly depends on the fan-out.
        text = compile_workflow(config, profile, "loop")
        plan = make_plan(config, profile, target, text)
        check_plan(plan)
        return Compiled(compile_workflow(config, profile, plan.fan_out), plan)
    plan = make_plan(config, profile)
    check_plan(plan)
    generations = config.search.generations
    return Compiled(compile_search(generations, profile=profile, fan_out=plan.fan_out), plan)
