"""The search as a Kubeflow pipeline: what runs after what, and nothing about how."""

from kfp import dsl
from kfp.dsl.base_component import BaseComponent
from kfp.dsl.pipeline_task import PipelineTask

from components import (
    evaluate,
    evaluate_baselines,
    initialise,
    propose,
    propose_baselines,
    report,
    select,
)


def search_pipeline(generations: int, image: str) -> BaseComponent:
    """Build the pipeline of one search.

    1. Initialise: write the run's configuration.
    2. Baselines: train the reference optimizers under the run's protocol.
    3. Generation 0: propose (sample), evaluate each chunk, select.
    4. Generations 1 to ``generations``: propose (mutate), evaluate each chunk, select.
    5. Report.

    KFP has no loop that carries data from one turn to the next, so the generations are written
    out one after another. They are chained by order alone: their state is in the store.

    Args:
        generations: how many generations of mutants follow the first, sampled one.
        image: container image in which every task runs.

    Returns:
        A pipeline with the parameters ``store`` (URL or folder), ``run`` (name), ``config`` (JSON
        text) and ``candidates_per_task`` (chunk size).
    """

    def task(task: PipelineTask, name: str) -> PipelineTask:
        # KFP's cache keys know nothing of the store, where the tasks leave their results.
        return task.set_display_name(name).set_caching_options(False).set_container_image(image)

    def group(task: PipelineTask, name: str) -> PipelineTask:
        return task.set_display_name(name).set_caching_options(False)

    @dsl.pipeline(name="baselines")
    def baselines(store: str, run: str, candidates_per_task: int) -> None:
        proposed = task(
            propose_baselines(store=store, run=run, candidates_per_task=candidates_per_task),
            "list the baselines",
        )
        with dsl.ParallelFor(proposed.output, name="baseline-chunks") as chunk:
            task(
                evaluate_baselines(
                    store=store, run=run, chunk=chunk, candidates_per_task=candidates_per_task
                ),
                "train baselines",
            )

    @dsl.pipeline(name="generation")
    def one_generation(store: str, run: str, generation: int, candidates_per_task: int) -> None:
        proposed = task(
            propose(
                store=store,
                run=run,
                generation=generation,
                candidates_per_task=candidates_per_task,
            ),
            "propose candidates",
        )
        with dsl.ParallelFor(proposed.output, name="candidate-chunks") as chunk:
            evaluated = task(
                evaluate(
                    store=store,
                    run=run,
                    generation=generation,
                    chunk=chunk,
                    candidates_per_task=candidates_per_task,
                ),
                "train candidates",
            )
        task(select(store=store, run=run, generation=generation), "select survivors").after(
            evaluated
        )

    @dsl.pipeline(name="evoptim-search")
    def search(store: str, run: str, config: str, candidates_per_task: int) -> None:
        start = task(initialise(store=store, run=run, config=config), "initialise the run")
        compared = group(
            baselines(store=store, run=run, candidates_per_task=candidates_per_task), "baselines"
        ).after(start)
        last = start
        for number in range(generations + 1):
            last = group(
                one_generation(
                    store=store,
                    run=run,
                    generation=number,
                    candidates_per_task=candidates_per_task,
                ),
                f"generation {number}",
            ).after(last)
        task(report(store=store, run=run), "report").after(last, compared)

    return search
