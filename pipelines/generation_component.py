"""The component of a whole generation: here, and not among the others, since its driver is here."""

from kfp import dsl

from evoptim.container_image import DEFAULT_IMAGE


@dsl.component(base_image=DEFAULT_IMAGE, install_kfp_package=False)
def run_generation(
    store: str,
    run: str,
    generation: int,
    candidates_per_task: int,
    profile: str,
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Propose, train in one Indexed Job and select; show how good the population is."""
    from evoptim import steps
    from pipelines.generation import run_generation
    from pipelines.profile_reading import profile_from_json

    run_generation(store, run, generation, candidates_per_task, profile_from_json(profile))
    found = steps.population_metrics(store=store, run=run, generation=generation)
    for name, value in found.items():
        metrics.log_metric(name, value)
