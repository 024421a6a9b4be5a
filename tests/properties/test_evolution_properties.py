"""What holds of the genetic algorithm for every population and every result."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from toy_gene import GENE, Score, ToyGene, evaluations, population

from evoptim.evolution import (
    merit,
    propose_children,
    propose_initial,
    select_children,
    select_initial,
)
from evoptim.records import Candidate, Evaluation, Population

# Few different values, so that ties are common.
fitness = st.sampled_from((0.0, 0.25, 0.5, 0.75, 1.0))
scores = st.one_of(st.none(), fitness, st.tuples(fitness, st.sampled_from((0.1, 0.2))))
replacements = st.sampled_from(("always", "elitist"))


@st.composite
def generations(
    draw: st.DrawFn,
) -> tuple[Population, tuple[Candidate, ...], dict[int, Evaluation]]:
    """Particles, what they propose, and results of some of it."""
    count, children = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    start = population(
        *(place * 10**8 for place in range(1, count + 1)), fitness=draw(st.none() | fitness)
    )
    proposed = tuple(
        propose_children(GENE, 0, start, children, [], score_particles=draw(st.booleans()))
    )
    found: dict[int, Score] = draw(
        st.dictionaries(st.integers(0, len(proposed) - 1), scores, max_size=len(proposed))
    )
    return start, proposed, evaluations(proposed, found)


@given(generations(), replacements, st.randoms(use_true_random=False))
def test_the_order_of_candidates_and_evaluations_does_not_matter(
    generation: tuple[Population, tuple[Candidate, ...], dict[int, Evaluation]],
    replacement: str,
    shuffle: random.Random,
) -> None:
    start, proposed, records = generation
    mixed = shuffle.sample(proposed, len(proposed))
    mixed_records = dict(shuffle.sample(list(records.items()), len(records)))
    assert select_children(start, mixed, mixed_records, replacement) == select_children(
        start, proposed, records, replacement
    )


@given(generations(), replacements)
def test_every_particle_becomes_one_of_its_own_children_or_stays(
    generation: tuple[Population, tuple[Candidate, ...], dict[int, Evaluation]], replacement: str
) -> None:
    start, proposed, records = generation
    after = select_children(start, proposed, records, replacement)
    for parent, chosen in zip(start.particles, after.particles, strict=True):
        own = {each.id: each for each in proposed if each.particle == parent.particle}
        assert chosen.particle == parent.particle
        assert chosen.id in {parent.id, *own}
        assert chosen.generation == (0 if chosen.id == parent.id else 1)


@given(generations(), replacements)
def test_no_child_is_better_than_the_one_that_was_chosen(
    generation: tuple[Population, tuple[Candidate, ...], dict[int, Evaluation]], replacement: str
) -> None:
    start, proposed, records = generation
    after = select_children(start, proposed, records, replacement)
    for chosen in after.particles:
        own = (each for each in proposed if each.particle == chosen.particle)
        results = (records.get(each.index) for each in own if each.role == "child")
        best = merit(chosen.fitness, chosen.validation_loss)
        assert all(best <= merit(r.fitness, r.validation_loss) for r in results if r)


@given(generations(), replacements, st.data())
def test_particles_exchange_nothing(
    generation: tuple[Population, tuple[Candidate, ...], dict[int, Evaluation]],
    replacement: str,
    data: st.DataObject,
) -> None:
    """Whatever happens to the other particles, this one goes the same way."""
    start, proposed, records = generation
    mine = data.draw(st.sampled_from(start.particles)).particle
    others = [each.index for each in proposed if each.particle != mine]
    changes = data.draw(st.dictionaries(st.sampled_from(others), scores) if others else st.just({}))
    kept = {index: each for index, each in records.items() if index not in others}
    changed = {**kept, **evaluations(proposed, changes)}
    before = select_children(start, proposed, records, replacement)
    after = select_children(start, proposed, changed, replacement)
    assert before.particles[mine] == after.particles[mine]


@given(generations())
def test_an_elitist_particle_never_gets_worse(
    generation: tuple[Population, tuple[Candidate, ...], dict[int, Evaluation]],
) -> None:
    start, proposed, records = generation
    if any(each.role == "particle" for each in proposed):
        # Results under two protocols are not comparable.
        return
    after = select_children(start, proposed, records, "elitist")
    for old, new in zip(start.particles, after.particles, strict=True):
        assert merit(new.fitness, new.validation_loss) <= merit(old.fitness, old.validation_loss)


@given(st.lists(scores, min_size=1, max_size=8), st.integers(1, 8), st.randoms())
def test_initial_selection_takes_the_best_in_any_order(
    results: list[Score], particles: int, shuffle: random.Random
) -> None:
    proposed = tuple(propose_initial(GENE, 0, len(results)))
    records = evaluations(proposed, dict(enumerate(results)))
    chosen = select_initial(proposed, records, particles)
    mixed = dict(shuffle.sample(list(records.items()), len(records)))
    assert select_initial(shuffle.sample(proposed, len(proposed)), mixed, particles) == chosen
    places = {each.id: each.index for each in proposed}
    order = [
        (*merit(each.fitness, each.validation_loss), places[each.id]) for each in chosen.particles
    ]
    assert order == sorted(order)
    left = set(places) - {each.id for each in chosen.particles}
    assert len(chosen.particles) == min(particles, len(results))
    assert all(
        order[-1] < (*merit(records[i].fitness, records[i].validation_loss), i)
        for i in (places[each] for each in left)
    )


@given(
    st.integers(0, 2**31 - 1),
    st.lists(st.integers(0, 10**9), min_size=1, max_size=4, unique=True),
    st.integers(1, 5),
    st.integers(0, 5),
    st.sets(st.integers(0, 300)),
)
def test_proposals_are_new_admitted_and_reproducible(
    seed: int, parents: list[int], children: int, generation: int, used: set[int]
) -> None:
    crowded = ToyGene(size=300, reach=299)
    start = population(*(parent % 300 for parent in parents), generation=generation)
    seen = [crowded.identity(number) for number in sorted(used)[:200]]
    proposed = tuple(propose_children(crowded, seed, start, children, seen))
    assert proposed == tuple(propose_children(crowded, seed, start, children, reversed(seen)))
    assert len({each.id for each in proposed} - set(seen)) == len(parents) * children
    for each in proposed:
        number = crowded.from_json(each.gene or {})
        assert number % 2 == 0
        assert each.id == crowded.identity(number)
