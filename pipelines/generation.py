"""One whole generation in one process: it proposes while its Job starts, reads the evaluations
while the Job makes others, watches it, and selects.

Each step of a workflow costs a pod, on KFP two, that the next one waits for.
"""

from collections.abc import Callable
from functools import partial

from evoptim import steps
from evoptim.store import Stage
from pipelines.fanout import Pace, evaluate_fanout, say
from pipelines.kubernetes_api import Cluster
from pipelines.profile import ClusterProfile


def run_generation(
    store: str,
    run: str,
    generation: int,
    candidates_per_task: int,
    profile: ClusterProfile,
    *,
    cluster: Cluster | None = None,
    pace: Pace | None = None,
    log: Callable[[str], None] = say,
) -> None:
    """Do what a generation lacks: propose, evaluate in an Indexed Job, select.

    Its arguments, and how it is interrupted, are those of
    :func:`~pipelines.fanout.evaluate_fanout`.

    Raises:
        InputError: the run is unknown or not that far, its search space is exhausted, or what
            :func:`~pipelines.fanout.evaluate_fanout` raises.
        InfrastructureError: as there, or more evaluations are missing than the configuration
            allows.
        KeyboardInterrupt: everything was stopped.
    """
    stage = Stage.generation(generation)
    with steps.read_ahead(store, run, stage) as ahead:
        evaluate_fanout(
            store,
            run,
            stage,
            candidates_per_task,
            profile,
            propose=partial(steps.propose, store, run, generation, candidates_per_task),
            ahead=ahead,
            cluster=cluster,
            pace=pace,
            log=log,
        )
    steps.select(store, run, generation, ahead=ahead)
