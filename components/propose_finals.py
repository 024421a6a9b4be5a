from kfp import dsl

from evoptim.container_image import DEFAULT_IMAGE


@dsl.component(base_image=DEFAULT_IMAGE, install_kfp_package=False)
def propose_finals(store: str, run: str, candidates_per_task: int) -> list[int]:
    """Write finalists and baselines to train; return the indices of the chunks to evaluate."""
    from evoptim import steps

    return steps.propose_finals(store=store, run=run, candidates_per_task=candidates_per_task)
