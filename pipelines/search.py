"""The search as a Kubeflow pipeline: what runs after what, and nothing about how."""

from kfp import dsl
from kfp.dsl.base_component import BaseComponent
from kfp.dsl.pipeline_task import PipelineTask

from components import (
    evaluate,
    evaluate_fanout,
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
from pipelines.kfp_task import apply_profile
from pipelines.profile import ClusterProfile, Role

# Where a Job does the chunks, the list of their numbers would only fill KFP's database.
_ONE_CHUNK = MAX_CANDIDATES


def search_pipeline(
    generations: int, image: str, profile: ClusterProfile | None = None, fan_out: str = "loop"
) -> BaseComponent:
    """Build the pipeline of one search.

    1. Initialise: write the run's configuration.
    2. Generation 0: propose (sample), evaluate each chunk, select.
    3. Generations 1 to ``generations``: propose (mutate), evaluate each chunk, select.
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
        text) and ``candidates_per_task`` (chunk size; the profile's is its default).
    """
    how = _Tasks(image, profile)
    if fan_out == "loop":
        finals, generation = _finals_in_a_loop(how), _generation_in_a_loop(how)
    else:
        finals, generation = _finals_in_a_job(how), _generation_in_a_job(how)
    size = 1 if profile is None else profile.candidates_per_task

    def search(store: str, run: str, config: str, candidates_per_task: int = size) -> None:
        start = how.task(initialise(store=store, run=run, config=config), "initialise the run")
        last = start
        for number in range(generations + 1):
            last = how.group(
                generation(
                    store=store,
                    run=run,
                    generation=number,
                    candidates_per_task=candidates_per_task,
                ),
                f"generation {number}",
            ).after(last)
        compared = how.group(
            finals(store=store, run=run, candidates_per_task=candidates_per_task), "finals"
        ).after(last)
        how.task(report(store=store, run=run), "report").after(compared)

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
        profile = self._profile()
        return self.task(task, name, "search", profile.watch_timeout_seconds())

    def profile_json(self) -> str:
        return self._profile().canonical_json()

    def _profile(self) -> ClusterProfile:
        if self.profile is None:
            raise InputError(
                "fan_out job needs a cluster profile: give one, or choose fan_out loop"
            )
        return self.profile


def _generation_in_a_loop(how: _Tasks) -> BaseComponent:
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

    return generation


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


def _generation_in_a_job(how: _Tasks) -> BaseComponent:
    @dsl.pipeline(name="generation")
    def generation(store: str, run: str, generation: int, candidates_per_task: int) -> None:
        proposed = how.task(
            propose(store=store, run=run, generation=generation, candidates_per_task=_ONE_CHUNK),
            "propose candidates",
        )
        evaluated = how.watching(
            evaluate_fanout(
                store=store,
                run=run,
                generation=generation,
                candidates_per_task=candidates_per_task,
                profile=how.profile_json(),
            ),
            "train candidates in a Job",
        ).after(proposed)
        how.task(select(store=store, run=run, generation=generation), "select survivors").after(
            evaluated
        )

    return generation


def _finals_in_a_job(how: _Tasks) -> BaseComponent:
    @dsl.pipeline(name="finals")
    def finals(store: str, run: str, candidates_per_task: int) -> None:
        proposed = how.task(
            propose_finals(store=store, run=run, candidates_per_task=_ONE_CHUNK),
            "choose the finalists",
        )
        how.watching(
            evaluate_finals_fanout(
                store=store,
                run=run,
                candidates_per_task=candidates_per_task,
                profile=how.profile_json(),
            ),
            "train finalists in a Job",
        ).after(proposed)

    return finals
