"""What is compared by benchmarks/search_efficiency.py: configurations of searches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from evoptim.config import FinalsSpec, Protocol, RunConfig, Screens, SearchSpec, preset
from evoptim.config.protocol import TaskName

UNIT = 25_000
"""Steps for which the paper's search, scaled down by 50, has one particle."""
MANY_GENERATIONS = 200
CHEAPEST = 100
"""Fewer steps than any candidate that is trained takes, the ones that fail at once included."""

MakeConfig = Callable[[TaskName, int], RunConfig]
"""From the task and the budget in steps to a configuration that does not end before the budget."""


@dataclass(frozen=True)
class Arm:
    """One way to search."""

    make: MakeConfig
    holds_finals: bool = False
    """Whether finals, paid from the same budget, name the champion: the best of the search are
    trained again under other seeds. Else it is the best by the search's own fitness."""


def scale(budget: int) -> int:
    """Particles of the paper's search at a budget; smaller budgets begin as larger ones do."""
    return max(1, round(budget / UNIT))


def ours(task: TaskName, budget: int) -> RunConfig:
    """``quickstart`` as it is, with generations enough."""
    del budget
    config = preset("quickstart", task)
    search = config.search.model_copy(update={"generations": MANY_GENERATIONS})
    return config.model_copy(update={"search": search})


def elitist(task: TaskName, budget: int) -> RunConfig:
    """One training instead of two, fewer at a time, and a parent stays until a child is better."""
    config = ours(task, budget)
    changes = {"initial": 20, "particles": 2, "replacement": "elitist"}
    return config.model_copy(
        update={
            "search": config.search.model_copy(update=changes),
            "protocol": config.protocol.model_copy(update={"seeds": (0,)}),
            "finals": FinalsSpec(candidates=3, seeds=(101, 102), tuning=None),
        }
    )


def paper(task: TaskName, budget: int) -> RunConfig:
    """The paper's settings: ten initial genomes and seven children a particle, one seed, every rate
    trained to its end, nothing screened, parents always replaced."""
    particles = scale(budget)
    return RunConfig(
        search=SearchSpec(
            initial=10 * particles,
            particles=particles,
            children=7,
            generations=MANY_GENERATIONS,
        ),
        protocol=_plain(task),
        screens=Screens(),
    )


def at_random(task: TaskName, budget: int) -> RunConfig:
    """As the paper, but all candidates are drawn and none is mutated."""
    search = SearchSpec(
        initial=scale(budget) * UNIT // CHEAPEST, particles=1, children=1, generations=0
    )
    return paper(task, budget).model_copy(update={"search": search})


def _plain(task: TaskName) -> Protocol:
    """The protocol of ``quickstart`` with one seed and a sweep that trains every rate."""
    protocol = preset("quickstart", task).protocol
    sweep = protocol.sweep.model_copy(update={"racing": None})
    return protocol.model_copy(update={"seeds": (0,), "sweep": sweep})


ARMS: Mapping[str, Arm] = {
    "paper's settings": Arm(paper),
    "random search": Arm(at_random),
    "quickstart": Arm(ours),
    "one seed, elitist": Arm(elitist),
    "one seed, elitist, finals": Arm(elitist, holds_finals=True),
}
BAR = "paper's settings"
