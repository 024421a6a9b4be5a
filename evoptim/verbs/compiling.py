"""Compile: the search pipeline for a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evoptim.config import RunConfig

if TYPE_CHECKING:
    from pipelines.preflight import Plan
    from pipelines.profile import ClusterProfile


@dataclass(frozen=True)
class Compiled:
    """A pipeline and what running it will take."""

    text: str
    """KFP v2 pipeline IR (YAML)."""
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


def compile_for_cluster(config: RunConfig, profile: ClusterProfile) -> Compiled:
    """The search as KFP v2 pipeline IR (YAML), with how its pods run on one cluster.

    Args:
        config: What is searched; it is given to the pipeline when that is started.
        profile: The cluster profile.

    Raises:
        InputError: the plan does not fit there; the message says what to change.
    """
    from pipelines import compile_search
    from pipelines.preflight import check_plan, make_plan

    plan = make_plan(config, profile)
    check_plan(plan)
    generations = config.search.generations
    return Compiled(compile_search(generations, profile=profile, fan_out=plan.fan_out), plan)
