from kfp import dsl

from evoptim.container_image import DEFAULT_IMAGE


@dsl.component(base_image=DEFAULT_IMAGE, install_kfp_package=False)
def report(
    store: str,
    run: str,
    html: dsl.Output[dsl.HTML],
    champion: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Write the run's report; show it, the champion and scalar metrics in the user interface."""
    from pathlib import Path

    from evoptim import steps

    Path(html.path).write_text(steps.report(store=store, run=run), encoding="utf-8")
    genome, facts = steps.champion(store=store, run=run)
    Path(champion.path).write_text(genome, encoding="utf-8")
    champion.metadata.update(facts)
    for name, value in steps.summary(store=store, run=run).items():
        metrics.log_metric(name, value)
