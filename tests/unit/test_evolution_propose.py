"""Proposals: legal, new, and a function of the seed, the population and the ids seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from toy_gene import GENE, ToyGene, population

from evoptim.config import MutationProbabilities, SamplingProbabilities
from evoptim.errors import InputError
from evoptim.evolution import (
    OptimizerGene,
    propose_children,
    propose_initial,
    select_initial,
)
from evoptim.genome import Genome
from evoptim.integrity import check_integrity
from evoptim.mutation import is_legal
from evoptim.records import Candidate

OPTIMIZERS = OptimizerGene(SamplingProbabilities(), MutationProbabilities())


def numbers(proposed: tuple[Candidate, ...]) -> list[int]:
    return [GENE.from_json(each.gene or {}) for each in proposed]


def by_place(proposed: tuple[Candidate, ...]) -> dict[int | None, list[int]]:
    lines = {each.particle for each in proposed}
    return {
        line: numbers(tuple(each for each in proposed if each.particle == line)) for line in lines
    }


def test_initial_candidates_pass_the_genes_own_test_and_enter_as_it_says() -> None:
    drawn = numbers(tuple(propose_initial(GENE, 1, 200)))
    # Odd draws enter as the even number below, of which those above a multiple of 7 are multiples.
    assert all(number % 2 == 0 for number in drawn)
    assert len(set(drawn)) == 200


def test_an_initial_candidate_says_what_it_is() -> None:
    candidate = next(iter(propose_initial(GENE, 1, 1)))
    (number,) = numbers((candidate,))
    assert candidate.index == 0
    assert candidate.role == "initial"
    assert candidate.id == f"id-{number}"
    assert candidate.formula == f"the number {number}"
    assert candidate.integrity is not None
    assert candidate.integrity.loss in (number, number + 1)
    assert (candidate.particle, candidate.parent, candidate.change) == (None, None, None)


def test_a_child_says_where_it_comes_from() -> None:
    child = tuple(propose_children(GENE, 1, population(10, 10_000_000), 3, []))[4]
    (number,) = numbers((child,))
    assert (child.index, child.role, child.particle) == (4, "child", 1)
    assert child.parent == "id-10000000"
    assert child.change is not None
    assert number in (step := 10_000_000 + int(child.change.split()[1]), step - 1)


def test_children_come_particle_by_particle_and_are_numbered_in_that_order() -> None:
    children = tuple(propose_children(GENE, 1, population(10, 20, 30), 4, []))
    assert [each.index for each in children] == list(range(12))
    assert [each.particle for each in children] == [0] * 4 + [1] * 4 + [2] * 4


def test_the_same_arguments_give_the_same_proposals() -> None:
    assert tuple(propose_initial(GENE, 3, 20)) == tuple(propose_initial(GENE, 3, 20))
    start = population(10, 20)
    assert tuple(propose_children(GENE, 3, start, 4, [])) == tuple(
        propose_children(GENE, 3, start, 4, [])
    )


def test_another_seed_gives_other_proposals() -> None:
    assert not set(numbers(tuple(propose_initial(GENE, 3, 20)))) & set(
        numbers(tuple(propose_initial(GENE, 4, 20)))
    )
    start = population(10, 20)
    ours, theirs = (numbers(tuple(propose_children(GENE, seed, start, 4, []))) for seed in (3, 4))
    assert not set(ours) & set(theirs)


def test_the_same_parent_has_other_children_in_another_generation_and_as_another_particle() -> None:
    first = by_place(tuple(propose_children(GENE, 0, population(10, 10), 5, [])))
    later = by_place(tuple(propose_children(GENE, 0, population(10, generation=1), 5, [])))
    assert len({*first[0], *first[1], *later[0]}) == 15


def test_more_initial_candidates_begin_with_the_same_ones() -> None:
    assert tuple(propose_initial(GENE, 0, 30))[:10] == tuple(propose_initial(GENE, 0, 10))


def test_more_children_begin_with_the_same_ones() -> None:
    start = population(10, 10**8)
    few, many = (by_place(tuple(propose_children(GENE, 0, start, count, []))) for count in (2, 6))
    assert {line: children[:2] for line, children in many.items()} == few


def test_what_a_particle_proposes_does_not_depend_on_the_other_particles() -> None:
    # Where no ids collide: see the next test for where they do.
    start = population(10, 10**8, 2 * 10**8)
    reversed_start = start.model_copy(update={"particles": start.particles[::-1]})
    alone = start.model_copy(update={"particles": start.particles[1:2]})
    together = by_place(tuple(propose_children(GENE, 0, start, 4, [])))
    assert by_place(tuple(propose_children(GENE, 0, reversed_start, 4, []))) == together
    assert by_place(tuple(propose_children(GENE, 0, alone, 4, []))) == {1: together[1]}


def test_an_id_that_the_run_has_seen_is_drawn_again_and_nothing_else_changes() -> None:
    start = population(10, 10**8)
    before = tuple(propose_children(GENE, 0, start, 4, []))
    after = tuple(propose_children(GENE, 0, start, 4, [before[2].id]))
    changed = [old.index for old, new in zip(before, after, strict=True) if old != new]
    assert changed == [2]


def test_of_two_equal_draws_the_later_is_drawn_again() -> None:
    crowded = ToyGene(size=40, reach=6)
    start = population(10, 10, 10)
    first_alone = start.model_copy(update={"particles": start.particles[:1]})
    together = by_place(tuple(propose_children(crowded, 0, start, 1, [])))
    assert len({number for children in together.values() for number in children}) == 3
    assert by_place(tuple(propose_children(crowded, 0, first_alone, 1, [])))[0] == together[0]


def test_nothing_that_was_seen_is_proposed() -> None:
    crowded = ToyGene(size=100, reach=99)
    first = tuple(propose_initial(crowded, 0, 10))
    children = tuple(
        propose_children(crowded, 0, population(10, 20), 5, [each.id for each in first])
    )
    assert len({each.id for each in (*first, *children)}) == 20


def test_an_exhausted_search_space_is_an_input_error() -> None:
    # Of 0..9, all but 0 and 7 pass, as 0, 2, 4, 6 (7 fails) and 8.
    tiny = ToyGene(size=10)
    assert len(tuple(propose_initial(tiny, 0, 5))) == 5
    with pytest.raises(
        InputError, match=r"exhausted: .* for 0/generation/0/initial/5 gave"
    ) as told:
        tuple(propose_initial(tiny, 0, 6))
    assert "ask for fewer candidates" in str(told.value)


def test_a_parent_without_new_mutants_is_an_input_error() -> None:
    # 10 + 1 enters as 10, which is the parent.
    with pytest.raises(InputError, match="generation/1/particle/0/child/0"):
        tuple(propose_children(ToyGene(reach=1), 0, population(10), 1, ["id-10"]))


def test_particles_that_are_scored_again_come_first_as_they_are() -> None:
    start = population(10, 20)
    proposed = tuple(propose_children(GENE, 0, start, 2, ["id-10", "id-20"], score_particles=True))
    assert [each.role for each in proposed] == ["particle"] * 2 + ["child"] * 4
    assert [each.index for each in proposed] == list(range(6))
    for candidate, particle in zip(proposed, start.particles, strict=False):
        assert candidate.id == particle.id
        assert candidate.gene == particle.gene
        assert candidate.particle == particle.particle
        assert (candidate.parent, candidate.change) == (None, None)


def test_scoring_particles_again_does_not_change_their_children() -> None:
    start = population(10, 20)
    plain = tuple(propose_children(GENE, 0, start, 2, []))
    scored = tuple(propose_children(GENE, 0, start, 2, [], score_particles=True))[2:]
    assert [each.gene for each in scored] == [each.gene for each in plain]


def test_a_gene_that_is_none_is_an_input_error() -> None:
    start = population(10)
    broken = start.particles[0].model_copy(update={"gene": {"number": "ten"}})
    with pytest.raises(InputError, match="toy gene"):
        tuple(propose_children(GENE, 0, start.model_copy(update={"particles": (broken,)}), 1, []))


@pytest.fixture(scope="module")
def optimizers() -> tuple[Candidate, ...]:
    """A first generation of real optimizers and the children of its first three."""
    first = tuple(propose_initial(OPTIMIZERS, 5, 12))
    start = select_initial(first, {}, 3)
    children = tuple(propose_children(OPTIMIZERS, 5, start, 6, [each.id for each in first]))
    return (*first, *children)


def test_every_optimizer_is_legal_passes_the_integrity_check_and_has_its_sign(
    optimizers: tuple[Candidate, ...],
) -> None:
    for candidate in optimizers:
        genome = Genome.from_json(candidate.gene or {})
        result = check_integrity(genome)
        assert is_legal(genome)
        assert result.passes
        # The sign is decided for every candidate, so that no child inherits one.
        assert genome.sign == result.sign
        assert candidate.integrity is not None
        assert (candidate.integrity.rate, candidate.integrity.loss) == (result.rate, result.loss)


def test_the_sign_matters_in_this_sample(optimizers: tuple[Candidate, ...]) -> None:
    # Otherwise the test before this one would show nothing.
    signs = {each.id: Genome.from_json(each.gene or {}).sign for each in optimizers}
    assert set(signs.values()) == {1, -1}
    children = [each for each in optimizers if each.parent is not None]
    assert any(signs[each.id] != signs[str(each.parent)] for each in children)


def test_every_optimizer_is_new_and_named_by_its_content(optimizers: tuple[Candidate, ...]) -> None:
    assert len({each.id for each in optimizers}) == len(optimizers)
    for candidate in optimizers:
        genome = Genome.from_json(candidate.gene or {})
        assert candidate.id == genome.id
        assert candidate.formula == str(genome)
        assert OPTIMIZERS.to_json(genome) == candidate.gene


def test_an_optimizer_that_cannot_descend_is_not_admitted() -> None:
    assert OPTIMIZERS.admit(Genome.parse("None ~ id(id(1))")) is None


def test_an_illegal_optimizer_is_not_admitted() -> None:
    # Its root reads no hidden node; as a rule of its own it would pass the integrity check.
    genome = Genome.parse("None ~ id(g)")
    assert check_integrity(genome).passes
    assert OPTIMIZERS.admit(genome) is None


def test_the_integrity_check_decides_the_sign_of_what_is_admitted() -> None:
    for sign in (1, -1):
        admitted = OPTIMIZERS.admit(Genome.parse("None ~ -(id(g))").with_sign(sign))
        assert admitted is not None
        assert admitted[0].sign == -1


def test_draws_in_any_order_give_the_same_proposals() -> None:
    """What is drawn in many processes is what is drawn in one; only collisions are drawn again."""

    def backwards(function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        return [function(item) for item in reversed(items)][::-1]

    crowded = ToyGene(size=60, reach=59)
    assert tuple(propose_initial(crowded, 0, 15, in_order=backwards)) == tuple(
        propose_initial(crowded, 0, 15)
    )
    start = population(10, 10, 20)
    assert tuple(propose_children(crowded, 0, start, 3, [], in_order=backwards)) == tuple(
        propose_children(crowded, 0, start, 3, [])
    )
