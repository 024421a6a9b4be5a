from kfp import dsl

from components.image import DEFAULT_IMAGE


@dsl.component(base_image=DEFAULT_IMAGE, install_kfp_package=False)
def report(
    store: str, run: str, html: dsl.Output[dsl.HTML], metrics: dsl.Output[dsl.Metrics]
) -> None:
    """Write the run's report; show it, and its scalar metrics, in the pipeline's user interface."""
    from pathlib import Path

    from evoptim import steps

    Path(html.path).write_text(steps.report(store=store, run=run), encoding="utf-8")
    for name, value in steps.summary(store=store, run=run).items():
        metrics.log_metric(name, value)
