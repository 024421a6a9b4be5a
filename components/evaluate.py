from kfp import dsl

from evoptim.container_image import DEFAULT_IMAGE


@dsl.component(base_image=DEFAULT_IMAGE, install_kfp_package=False)
def evaluate(store: str, run: str, generation: int, chunk: int, candidates_per_task: int) -> None:
    """Train the candidates of one chunk of a generation and write one evaluation for each."""
    from evoptim import steps

    steps.evaluate(
        store=store,
        run=run,
        generation=generation,
        chunk=chunk,
        candidates_per_task=candidates_per_task,
    )
