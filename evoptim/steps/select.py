"""The step that decides who lives on."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from evoptim.evolution import (
    best_so_far,
    check_complete,
    check_screens,
    select_children,
    select_initial,
)
from evoptim.records import Candidate, Evaluation, Particle, Population
from evoptim.steps.ahead import Ahead
from evoptim.steps.reading import (
    read_candidates,
    read_config,
    read_population,
    read_scores,
)
from evoptim.steps.twins import evaluated_at
from evoptim.store import Stage, Store, load, open_store, read_many, save
from evoptim.store.layout import population_key


def select(store: str, run: str, generation: int, *, ahead: Ahead | None = None) -> None:
    """Write the population that ``generation`` leaves to the next one.

    Args:
        store: URL of the store.
        run: Name of the run.
        generation: Its number.
        ahead: What was read of it before, see :func:`evoptim.steps.read_ahead`.

    Raises:
        InputError: the run is unknown or not that far, or a screen refused all of generation 0.
        InfrastructureError: more evaluations are missing than the configuration allows.
    """
    opened = open_store(store)
    key = population_key(run, generation)
    if opened.exists(key):
        return
    config = read_config(opened, run)
    stage = Stage.generation(generation)
    ahead = ahead or Ahead()
    candidates = ahead.candidates or read_candidates(opened, run, stage).candidates
    evaluations = read_scores(opened, run, stage, candidates, ahead.scores)
    check_complete(candidates, evaluations, config.max_missing_fraction)
    search = config.search
    if generation == 0:
        check_screens(candidates, evaluations)
        population = select_initial(candidates, evaluations, search.particles)
    else:
        previous = read_population(opened, run, generation - 1)
        population = select_children(previous, candidates, evaluations, search.replacement)
    if config.screens.hopeless is not None:
        population = _with_curves(opened, run, population, candidates)
    save(opened, key, population)


def _with_curves(
    store: Store, run: str, population: Population, candidates: Sequence[Candidate]
) -> Population:
    """The learning curves of the particles that this generation evaluated; others keep theirs."""
    stage = Stage.generation(population.generation)
    evaluated = {each.id: each for each in candidates}

    def with_curve(particle: Particle) -> Particle:
        if particle.fitness is None or particle.id not in evaluated:
            return particle
        key = evaluated_at(run, stage, evaluated[particle.id])
        return particle.model_copy(update={"curve": best_so_far(load(store, key, Evaluation))})

    particles = tuple(read_many(with_curve, population.particles))
    return population.model_copy(update={"particles": particles})


def population_metrics(store: str, run: str, generation: int) -> dict[str, float]:
    """Scalars of a selected generation, for a dashboard; accuracies are fractions.

    Raises:
        InputError: the generation has no population yet.
    """
    particles = read_population(open_store(store), run, generation).particles
    scored = [each.fitness for each in particles if each.fitness is not None]
    metrics: dict[str, float] = {
        "particles": len(particles),
        "particles replaced": sum(each.generation == generation for each in particles),
        "particles without a fitness": len(particles) - len(scored),
    }
    if scored:
        metrics["best validation accuracy"] = max(scored)
        metrics["median validation accuracy"] = median(scored)
        metrics["worst validation accuracy"] = min(scored)
    return {name: float(value) for name, value in metrics.items()}
