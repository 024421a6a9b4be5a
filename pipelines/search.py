"""The search as a Kubeflow pipeline: what runs after what, and nothing about how."""

from collections.abc import Callable, Mapping
from typing import Any

from kfp import dsl
from kfp.dsl.base_component import BaseComponent
from kfp.dsl.pipeline_task import PipelineTask

from components import (
    evaluate,
    evaluate_finals,
    evaluate_finals_fanout,
    initialise,
    propose,
    propose_finals,
    report,
    select,
)
from evoptim.config.run import MAX_CANDIDATES
from evoptim.errors import InputError
from pipelines.generation_component import run_generation
from pipelines.kfp_task import apply_profile
from pipelines.profile import ClusterProfile, Role

_Generation = Callable[[int, Mapping[str, Any]], PipelineTask]
"""Adds the generation of a number, with these inputs, to the pipeline that is being built."""

# Where a Job does the chunks, the list of their numbers would only fill KFP's database.
_ONE_CHUNK = MAX_CANDIDATES


def search_pipeline(
    generations: int, image: str, profile: ClusterProfile | None = None, fan_out: str = "loop"
) -> BaseComponent:
    """Build the pipeline of one search.

    1. Initialise: write the run's configuration.
    2. Generation 0: propose (sample), evaluate each chunk, select.
    3. Generations 1 to ``generations``: propose (mutate), evaluate each chunk, select. With Jobs
       a generation is one task.
    4. Finals: train the best of them and the baselines again, under fresh seeds.
    5. Report.

    KFP has no loop that carries data from one turn to the next, so the generations are written
    out one after another. They are chained by order alone: their state is in the store.

    Args:
        generations: how many generations of mutants follow the first, sampled one.
        image: container image in which every task runs; a profile names its own.
        profile: how pods run; None for this machine, and for a cluster's own defaults.
        fan_out: ``loop``: one task for each chunk. ``job``: one task that watches an Indexed Job,
            which takes a profile.

    Returns:
        A pipeline with the parameters ``store`` (URL or folder), ``run`` (name), ``config`` (JSON
        text) and ``candidates_per_task`` (chunk size; the profile's is its default); with Jobs also
        ``profile``, from which their pods are made (JSON text; the profile is its default).
    """
    how = _Tasks(image, profile)
    if fan_out == "loop":
        finals, generation = _finals_in_a_loop(how), _generation_in_a_loop(how)
    else:
        finals, generation = _finals_in_a_job(how), _generation_in_a_job(how)
    size = 1 if profile is None else profile.candidates_per_task

    def steps(config: str, **given: Any) -> None:
        where = {"store": given["store"], "run": given["run"]}
        last = how.task(initialise(config=config, **where), "initialise the run")
        for number in range(generations + 1):
            last = generation(number, given).after(last)
        compared = how.group(finals(**given), "finals").after(last)
        how.task(report(**where), "report").after(compared)

    def search_in_loops(store: str, run: str, config: str, candidates_per_task: int = size) -> None:
        steps(config, store=store, run=run, candidates_per_task=candidates_per_task)

    def search_in_jobs(
        store: str,
        run: str,
        config: str,
        candidates_per_task: int = size,
        # A parameter, since it would stand in the pipeline again for each generation.
        profile: str = how.profile_text,
    ) -> None:
        steps(
            config, store=store, run=run, candidates_per_task=candidates_per_task, profile=profile
        )

    search = search_in_loops if fan_out == "loop" else search_in_jobs
    return dsl.pipeline(search, name="evoptim-search")


class _Tasks:
    """How tasks are named and run."""

    def __init__(self, image: str, profile: ClusterProfile | None) -> None:
        self.image = image
        self.profile = profile
        # At most so many iterations at a time; 0 leaves it to the engine.
        self.parallelism = 0 if profile is None else profile.parallelism

    def task(
        self,
        task: PipelineTask,
        name: str,
        role: Role = "search",
        timeout_seconds: int | None = None,
    ) -> PipelineTask:
        # KFP's cache keys know nothing of the store, where the tasks leave their results.
        task.set_display_name(name).set_caching_options(False)
        if self.profile is None:
            return task.set_container_image(self.image)
        return apply_profile(task, self.profile, role, timeout_seconds)

    def group(self, task: PipelineTask, name: str) -> PipelineTask:
        return task.set_display_name(name).set_caching_options(False)

    def watching(self, task: PipelineTask, name: str) -> PipelineTask:
        return self.task(task, name, "search", self._given().watch_timeout_seconds())

    @property
    def profile_text(self) -> str:
        """The profile as JSON; empty where there is none."""
        return "" if self.profile is None else self.profile.canonical_json()

    def _given(self) -> ClusterProfile:
        if self.profile is None:
            raise InputError(
                "fan_out job needs a cluster profile: give one, or choose fan_out loop"
            )
        return self.profile


def _generation_in_a_loop(how: _Tasks) -> _Generation:
    @dsl.pipeline(name="generation")
    def generation(store: str, run: str, generation: int, candidates_per_task: int) -> None:
        proposed = how.task(
            propose(
                store=store,
                run=run,
                generation=generation,
                candidates_per_task=candidates_per_task,
            ),
            "propose candidates",
        )
        with dsl.ParallelFor(
            proposed.output, name="candidate-chunks", parallelism=how.parallelism
        ) as chunk:
            evaluated = how.task(
                evaluate(
                    store=store,
                    run=run,
                    generation=generation,
                    chunk=chunk,
                    candidates_per_task=candidates_per_task,
                ),
                "train candidates",
                "worker",
            )
        how.task(select(store=store, run=run, generation=generation), "select survivors").after(
            evaluated
        )

    return lambda number, given: how.group(
        generation(generation=number, **given), f"generation {number}"
    )


def _finals_in_a_loop(how: _Tasks) -> BaseComponent:
    @dsl.pipeline(name="finals")
    def finals(store: str, run: str, candidates_per_task: int) -> None:
        proposed = how.task(
            propose_finals(store=store, run=run, candidates_per_task=candidates_per_task),
            "choose the finalists",
        )
        with dsl.ParallelFor(
            proposed.output, name="finalist-chunks", parallelism=how.parallelism
        ) as chunk:
            how.task(
                evaluate_finals(
                    store=store, run=run, chunk=chunk, candidates_per_task=candidates_per_task
                ),
                "train finalists",
                "worker",
            )

    return finals


def _generation_in_a_job(how: _Tasks) -> _Generation:
    # One task and no group around it: before each of both there is a driver, a pod.
    return lambda number, given: how.watching(
        run_generation(generation=number, **given), f"generation {number}"
    )


def _finals_in_a_job(how: _Tasks) -> BaseComponent:
    @dsl.pipeline(name="finals")
    def finals(store: str, run: str, candidates_per_task: int, profile: str) -> None:
        proposed = how.task(
            propose_finals(store=store, run=run, candidates_per_task=_ONE_CHUNK),
            "choose the finalists",
        )
        how.watching(
            evaluate_finals_fanout(
                store=store,
                run=run,
                candidates_per_task=candidates_per_task,
                profile=profile,
            ),
            "train finalists in a Job",
        ).after(proposed)

    return finals
