from kfp import dsl

from evoptim.container_image import DEFAULT_IMAGE


@dsl.component(base_image=DEFAULT_IMAGE, install_kfp_package=False)
def propose(store: str, run: str, generation: int, candidates_per_task: int) -> list[int]:
    """Write a generation's candidates; return the indices of the chunks to evaluate."""
    from evoptim import steps

    return steps.propose(
        store=store, run=run, generation=generation, candidates_per_task=candidates_per_task
    )
