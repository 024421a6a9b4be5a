from kfp import dsl

from evoptim.container_image import DEFAULT_IMAGE


@dsl.component(base_image=DEFAULT_IMAGE, install_kfp_package=False)
def select(store: str, run: str, generation: int, metrics: dsl.Output[dsl.Metrics]) -> None:
    """Choose a generation's population from its evaluations; show how good it is."""
    from evoptim import steps

    steps.select(store=store, run=run, generation=generation)
    found = steps.population_metrics(store=store, run=run, generation=generation)
    for name, value in found.items():
        metrics.log_metric(name, value)
