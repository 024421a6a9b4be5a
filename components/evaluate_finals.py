from kfp import dsl

from evoptim.container_image import DEFAULT_IMAGE


@dsl.component(base_image=DEFAULT_IMAGE, install_kfp_package=False)
def evaluate_finals(store: str, run: str, chunk: int, candidates_per_task: int) -> None:
    """Train the finalists and baselines of one chunk under fresh seeds."""
    from evoptim import steps

    steps.evaluate_finals(
        store=store, run=run, chunk=chunk, candidates_per_task=candidates_per_task
    )
