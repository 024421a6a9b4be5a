from kfp import dsl

from evoptim.container_image import DEFAULT_IMAGE


@dsl.component(base_image=DEFAULT_IMAGE, install_kfp_package=False)
def initialise(store: str, run: str, config: str) -> None:
    """First step of a run: check the configuration, given as JSON text, and write it once."""
    from evoptim import steps

    steps.initialise(store=store, run=run, config=config)
