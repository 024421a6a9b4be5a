"""Proposes candidates: random ones to begin with, then the mutants of every particle.

Each is legal, has passed its gene's own test and has an id not yet seen in the run. Every draw is
addressed by (run seed, generation, particle, child, attempt), so that proposals are a function of
the seed, the population and the ids seen. What else is proposed matters in one way only: of two
equal draws the later one, in the order of particles and children, is drawn again.

Source: the particle search of Morgan & Hougen, arXiv 2404.06679.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import TypeVar

from evoptim.errors import InputError
from evoptim.evolution.gene import Gene
from evoptim.records import Candidate, Integrity, Population
from evoptim.sampling import generator

G = TypeVar("G")

MAX_ATTEMPTS = 5_000
"""Draws for one candidate before the search space counts as exhausted."""


def propose_initial(gene: Gene[G], seed: int, count: int) -> tuple[Candidate, ...]:
    """The random candidates of generation 0.

    Raises:
        InputError: the search space does not hold that many candidates.
    """
    seen: set[str] = set()
    candidates = []
    for index in range(count):
        value, integrity, _ = _draw(
            gene,
            lambda rng: (gene.sample(rng), None),
            seen,
            (seed, "generation", 0, "initial", index),
        )
        candidates.append(_candidate(gene, value, integrity, index=index, role="initial"))
    return tuple(candidates)


def propose_children(
    gene: Gene[G],
    seed: int,
    population: Population,
    children: int,
    seen: Iterable[str],
    *,
    score_particles: bool = False,
) -> tuple[Candidate, ...]:
    """The mutants of every particle for the generation after ``population``.

    Args:
        gene: What is evolved.
        seed: Seed of the run.
        population: The particles.
        children: Mutants for each particle.
        seen: Ids of everything that the run has proposed so far.
        score_particles: Whether the particles themselves come first, to be scored again because
            the protocol changes with this generation.

    Raises:
        InputError: no new mutant could be found.
    """
    generation = population.generation + 1
    known = set(seen)
    candidates: list[Candidate] = []
    if score_particles:
        for each in population.particles:
            candidates.append(
                Candidate(
                    index=len(candidates),
                    role="particle",
                    id=each.id,
                    formula=each.formula,
                    gene=each.gene,
                    particle=each.particle,
                )
            )
    for each in population.particles:
        parent = gene.from_json(each.gene)
        for child in range(children):
            value, integrity, change = _draw(
                gene,
                lambda rng, parent=parent: gene.mutate(parent, rng),  # type: ignore[misc]
                known,
                (seed, "generation", generation, "particle", each.particle, "child", child),
            )
            candidates.append(
                _candidate(
                    gene,
                    value,
                    integrity,
                    index=len(candidates),
                    role="child",
                    particle=each.particle,
                    parent=each.id,
                    change=change,
                )
            )
    return tuple(candidates)


def _draw(
    gene: Gene[G],
    draw: Callable[[Random], tuple[G, str | None]],
    seen: set[str],
    address: tuple[int | str, ...],
) -> tuple[G, Integrity, str | None]:
    for attempt in range(MAX_ATTEMPTS):
        value, change = draw(generator(*address, "attempt", attempt))
        admitted = gene.admit(value)
        if admitted is None:
            continue
        identity = gene.identity(admitted[0])
        if identity not in seen:
            seen.add(identity)
            return *admitted, change
    raise InputError(
        f"the search space seems exhausted: {MAX_ATTEMPTS} draws for {'/'.join(map(str, address))} "
        "gave nothing new that passes the integrity check; ask for fewer candidates or leave more "
        "operators and operands in search.sampling"
    )


def _candidate(
    gene: Gene[G],
    value: G,
    integrity: Integrity,
    *,
    index: int,
    role: str,
    particle: int | None = None,
    parent: str | None = None,
    change: str | None = None,
) -> Candidate:
    return Candidate.model_validate(
        {
            "index": index,
            "role": role,
            "id": gene.identity(value),
            "formula": gene.formula(value),
            "gene": gene.to_json(value),
            "particle": particle,
            "parent": parent,
            "change": change,
            "integrity": integrity,
        }
    )
