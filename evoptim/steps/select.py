"""The step that decides who lives on."""

from __future__ import annotations

from evoptim.evolution import check_complete, select_children, select_initial
from evoptim.records import Candidates, Population
from evoptim.steps.reading import read_config, read_evaluations
from evoptim.store import Stage, load, open_store, save
from evoptim.store.layout import candidates_key, population_key


def select(store: str, run: str, generation: int) -> None:
    """Write the population that ``generation`` leaves to the next one.

    Raises:
        InfrastructureError: more evaluations are missing than the configuration allows.
    """
    opened = open_store(store)
    key = population_key(run, generation)
    if opened.exists(key):
        return
    config = read_config(opened, run)
    stage = Stage.generation(generation)
    candidates = load(opened, candidates_key(run, stage), Candidates).candidates
    evaluations = read_evaluations(opened, run, stage)
    check_complete(candidates, evaluations, config.max_missing_fraction)
    search = config.search
    if generation == 0:
        population = select_initial(candidates, evaluations, search.particles)
    else:
        previous = load(opened, population_key(run, generation - 1), Population)
        population = select_children(previous, candidates, evaluations, search.replacement)
    save(opened, key, population)
