from kfp import dsl

from evoptim.container_image import DEFAULT_IMAGE


@dsl.container_component
def evaluate_finals_fanout(
    store: str, run: str, candidates_per_task: int, profile: str
) -> dsl.ContainerSpec:
    """Train the finalists and baselines in one Indexed Job."""
    return dsl.ContainerSpec(
        image=DEFAULT_IMAGE,
        command=["evoptim", "step", "evaluate-finals-fanout"],
        args=[
            *("--store", store, "--run", run),
            *("--candidates-per-task", candidates_per_task, "--profile-json", profile),
        ],
    )
