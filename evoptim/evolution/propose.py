"""Proposes candidates: random ones to begin with, then the mutants of every particle.

Each is legal, has passed its gene's own test and has an id not yet seen in the run. Every draw is
addressed by (run seed, generation, particle, child, attempt), so that proposals are a function of
the seed, the population and the ids seen. What else is proposed matters in one way only: of two
equal draws the later one, in the order of particles and children, is drawn again. So the first
draws of all may be made in any order, or in many processes.

Source: the particle search of Morgan & Hougen, arXiv 2404.06679.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Literal, TypeVar

from evoptim.config import JsonObject
from evoptim.errors import InputError
from evoptim.evolution.gene import Gene
from evoptim.records import Candidate, Population
from evoptim.sampling import generator

G = TypeVar("G")

MAX_ATTEMPTS = 5_000
"""Draws for one candidate before the search space counts as exhausted."""

InOrder = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]
"""Calls a function with every item and gives the results in their order, as ``map`` does."""


def propose_initial(
    gene: Gene[G], seed: int, count: int, *, in_order: InOrder = map
) -> Iterator[Candidate]:
    """The random candidates of generation 0, as they are drawn.

    Args:
        gene: What is evolved.
        seed: Seed of the run.
        count: How many.
        in_order: Calls functions that can be sent to other processes; it changes no result.

    Raises:
        InputError: the search space does not hold that many candidates.
    """
    places: list[_Place[G]] = [
        _Place(index, "initial", (seed, "generation", 0, "initial", index))
        for index in range(count)
    ]
    return _new_candidates(gene, places, set(), in_order)


def propose_children(
    gene: Gene[G],
    seed: int,
    population: Population,
    children: int,
    seen: Iterable[str],
    *,
    score_particles: bool = False,
    in_order: InOrder = map,
) -> Iterator[Candidate]:
    """The mutants of every particle for the generation after ``population``, as they are drawn.

    Args:
        gene: What is evolved.
        seed: Seed of the run.
        population: The particles.
        children: Mutants for each particle.
        seen: Ids of everything that the run has proposed so far.
        score_particles: Whether the particles themselves come first, to be scored again because
            the protocol changes with this generation.
        in_order: As for :func:`propose_initial`.

    Raises:
        InputError: no new mutant could be found.
    """
    generation = population.generation + 1
    rescored = population.particles if score_particles else ()
    for index, each in enumerate(rescored):
        yield Candidate(
            index=index,
            role="particle",
            id=each.id,
            formula=each.formula,
            gene=each.gene,
            particle=each.particle,
            fingerprint=gene.fingerprint(gene.from_json(each.gene)),
        )
    places: list[_Place[G]] = []
    for each in population.particles:
        parent = _Parent(each.particle, each.id, gene.from_json(each.gene))
        for child in range(children):
            address = (seed, "generation", generation, "particle", each.particle, "child", child)
            places.append(_Place(len(rescored) + len(places), "child", address, parent))
    yield from _new_candidates(gene, places, set(seen), in_order)


@dataclass(frozen=True)
class _Parent(Generic[G]):
    particle: int
    id: str
    value: G


@dataclass(frozen=True)
class _Place(Generic[G]):
    """A candidate that is still to be drawn."""

    index: int
    role: Literal["initial", "child"]
    address: tuple[int | str, ...]
    parent: _Parent[G] | None = None


def _new_candidates(
    gene: Gene[G], places: Sequence[_Place[G]], seen: set[str], in_order: InOrder
) -> Iterator[Candidate]:
    """A candidate for every place, each with an id that is not in ``seen`` and then is."""
    drawn = in_order(partial(_draw, gene, first=0), places)
    for place, (attempt, candidate) in zip(places, drawn, strict=True):
        while candidate.id in seen:
            attempt, candidate = _draw(gene, place, first=attempt + 1)  # noqa: PLW2901
        seen.add(candidate.id)
        yield candidate


def _draw(gene: Gene[G], place: _Place[G], first: int) -> tuple[int, Candidate]:
    """The first attempt from ``first`` on that gives a candidate, and that candidate."""
    parent = place.parent
    for attempt in range(first, MAX_ATTEMPTS):
        rng = generator(*place.address, "attempt", attempt)
        change = None
        if parent is None:
            value = gene.sample(rng)
        else:
            value, change = gene.mutate(parent.value, rng)
        admitted = gene.admit(value)
        if admitted is None:
            continue
        value, integrity = admitted
        candidate = Candidate(
            index=place.index,
            role=place.role,
            id=gene.identity(value),
            formula=gene.formula(value),
            gene=JsonObject(gene.to_json(value)),
            particle=None if parent is None else parent.particle,
            parent=None if parent is None else parent.id,
            change=change,
            integrity=integrity,
            draws=attempt + 1,
            fingerprint=gene.fingerprint(value),
        )
        return attempt, candidate
    raise InputError(
        f"the search space seems exhausted: {MAX_ATTEMPTS} draws for "
        f"{'/'.join(map(str, place.address))} gave nothing new that passes the integrity check; "
        "ask for fewer candidates or leave more operators and operands in search.sampling"
    )
