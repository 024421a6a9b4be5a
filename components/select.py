from kfp import dsl

from components.image import DEFAULT_IMAGE


@dsl.component(base_image=DEFAULT_IMAGE, install_kfp_package=False)
def select(store: str, run: str, generation: int) -> None:
    """Choose a generation's population from its evaluations."""
    from evoptim import steps

    steps.select(store=store, run=run, generation=generation)
