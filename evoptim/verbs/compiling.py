"""Compile: the search pipeline for a cluster."""

from __future__ import annotations

from evoptim.config import RunConfig


def compile_pipeline(config: RunConfig, image: str | None = None) -> str:
    """The search as KFP v2 pipeline IR (YAML).

    Its parameters are ``store``, ``run``, ``config`` (this configuration as JSON) and
    ``candidates_per_task``.

    Args:
        config: Its number of generations is unrolled into the pipeline.
        image: Container image of every step; None for evoptim's own.
    """
    from pipelines import compile_search

    generations = config.search.generations
    return compile_search(generations) if image is None else compile_search(generations, image)
