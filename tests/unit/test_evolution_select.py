"""Selection: the best candidates become particles, then each particle's best child."""

from __future__ import annotations

from itertools import pairwise

import pytest
from sample_run import baseline_candidate
from toy_gene import GENE, Score, candidates, evaluations, population

from evoptim.errors import InfrastructureError
from evoptim.evolution import (
    check_complete,
    merit,
    propose_children,
    select_children,
    select_initial,
)
from evoptim.records import Candidate, Particle, Population

BETTER_FIRST: list[tuple[float | None, float | None]] = [
    (0.9, 0.5),
    (0.8, 0.1),
    (0.8, 0.2),
    (0.8, None),
    (0.0, 0.1),
    (None, None),
]


def one_line(replacement: str, *children: Score, parent: float | None = 0.5) -> Particle:
    """The particle that a parent and children of these scores leave; it stands at 10."""
    start = population(10, fitness=parent)
    proposed = tuple(propose_children(GENE, 0, start, len(children), []))
    records = evaluations(proposed, dict(enumerate(children)))
    return select_children(start, proposed, records, replacement).particles[0]  # type: ignore[arg-type]


def child_number(particle: Particle) -> int | None:
    """Which of the children of :func:`one_line` it is; None for the parent."""
    proposed = tuple(propose_children(GENE, 0, population(10), 4, []))
    return next((each.index for each in proposed if each.id == particle.id), None)


@pytest.mark.parametrize(("better", "worse"), [*pairwise(BETTER_FIRST)])
def test_merit_orders_by_fitness_then_loss_and_puts_failures_last(
    better: tuple[float | None, float | None], worse: tuple[float | None, float | None]
) -> None:
    assert merit(*better) < merit(*worse)


def test_the_best_initial_candidates_become_particles_best_first() -> None:
    proposed = candidates(5)
    records = evaluations(proposed, {0: 0.3, 1: 0.9, 2: None, 3: 0.7, 4: 0.8})
    chosen = select_initial(proposed, records, 3)
    assert [each.id for each in chosen.particles] == [proposed[i].id for i in (1, 4, 3)]
    assert [each.particle for each in chosen.particles] == [0, 1, 2]
    assert [each.fitness for each in chosen.particles] == [0.9, 0.8, 0.7]
    assert (chosen.generation, {each.generation for each in chosen.particles}) == (0, {0})


def test_initial_ties_go_to_the_lower_loss_and_then_to_the_lower_index() -> None:
    proposed = candidates(4)
    records = evaluations(proposed, {0: (0.9, 0.4), 1: (0.9, 0.2), 2: (0.9, 0.4), 3: (0.9, 0.2)})
    chosen = select_initial(proposed, records, 4)
    assert [each.id for each in chosen.particles] == [proposed[i].id for i in (1, 3, 0, 2)]


def test_failed_candidates_fill_up_where_too_few_were_scored() -> None:
    proposed = candidates(4)
    chosen = select_initial(proposed, evaluations(proposed, {0: None, 2: 0.1, 3: None}), 4)
    assert [each.id for each in chosen.particles] == [proposed[i].id for i in (2, 0, 1, 3)]
    assert [each.fitness for each in chosen.particles] == [0.1, None, None, None]


def test_always_takes_the_best_child_even_if_it_is_worse() -> None:
    particle = one_line("always", 0.2, 0.4, 0.1, parent=0.5)
    assert child_number(particle) == 1
    assert (particle.fitness, particle.generation, particle.particle) == (0.4, 1, 0)


def test_elitist_keeps_a_parent_that_is_better() -> None:
    particle = one_line("elitist", 0.2, 0.4, 0.1, parent=0.5)
    assert child_number(particle) is None
    assert (particle.id, particle.fitness, particle.generation) == ("id-10", 0.5, 0)


def test_elitist_takes_the_best_child_if_it_is_better() -> None:
    assert child_number(one_line("elitist", 0.6, 0.7, parent=0.5)) == 1


def test_elitist_decides_equal_fitness_by_loss_and_keeps_the_parent_if_that_is_equal_too() -> None:
    # The parent's validation loss is 0.3.
    assert child_number(one_line("elitist", (0.5, 0.2), parent=0.5)) == 0
    assert child_number(one_line("elitist", (0.5, 0.3), parent=0.5)) is None


@pytest.mark.parametrize("replacement", ["always", "elitist"])
def test_a_parent_stays_if_all_its_children_failed(replacement: str) -> None:
    particle = one_line(replacement, None, None, parent=0.1)
    assert (particle.id, particle.fitness, particle.generation) == ("id-10", 0.1, 0)


@pytest.mark.parametrize("replacement", ["always", "elitist"])
def test_any_scored_child_replaces_a_failed_parent(replacement: str) -> None:
    assert child_number(one_line(replacement, None, 0.01, parent=None)) == 1


@pytest.mark.parametrize("replacement", ["always", "elitist"])
def test_a_failed_parent_of_failed_children_stays(replacement: str) -> None:
    particle = one_line(replacement, None, parent=None)
    assert (particle.id, particle.fitness) == ("id-10", None)


def test_ties_between_children_go_to_the_lower_loss_and_then_to_the_lower_index() -> None:
    assert child_number(one_line("always", (0.7, 0.3), (0.7, 0.1), (0.7, 0.1))) == 1


def test_a_missing_evaluation_counts_as_failed() -> None:
    start = population(10)
    proposed = tuple(propose_children(GENE, 0, start, 3, []))
    chosen = select_children(start, proposed, evaluations(proposed, {1: 0.1}), "always")
    assert chosen.particles[0].id == proposed[1].id


def test_every_particle_keeps_its_number_and_its_place() -> None:
    start = population(10, 20, 30)
    proposed = tuple(propose_children(GENE, 0, start, 1, []))
    chosen = select_children(start, proposed, evaluations(proposed, {1: 0.9}), "always")
    assert chosen.generation == 1
    assert [each.particle for each in chosen.particles] == [0, 1, 2]
    assert [each.id for each in chosen.particles] == ["id-10", proposed[1].id, "id-30"]


def scored_again(
    *scores: Score, replacement: str = "elitist"
) -> tuple[Population, list[Candidate]]:
    """A parent of fitness 0.9, scored again with the first score, and one child."""
    start = population(10, fitness=0.9)
    proposed = tuple(propose_children(GENE, 0, start, 1, [], score_particles=True))
    records = evaluations(proposed, dict(enumerate(scores)))
    return select_children(start, proposed, records, replacement), list(proposed)  # type: ignore[arg-type]


def test_a_particle_that_is_scored_again_is_compared_by_its_new_result() -> None:
    chosen, proposed = scored_again(0.4, 0.5)
    assert chosen.particles[0].id == proposed[1].id


def test_a_particle_that_is_scored_again_carries_its_new_result() -> None:
    chosen, _ = scored_again(0.4, 0.3)
    assert (chosen.particles[0].id, chosen.particles[0].fitness) == ("id-10", 0.4)
    assert chosen.particles[0].generation == 0


def test_a_particle_that_fails_when_it_is_scored_again_is_kept_without_fitness() -> None:
    chosen, _ = scored_again(None, None, replacement="always")
    assert (chosen.particles[0].id, chosen.particles[0].fitness) == ("id-10", None)


def test_a_particle_is_never_its_own_child() -> None:
    chosen, proposed = scored_again(0.8, 0.1, replacement="always")
    assert chosen.particles[0].id == proposed[1].id


def test_a_baseline_cannot_become_a_particle() -> None:
    with pytest.raises(ValueError, match="the baseline adam is not"):
        select_initial([baseline_candidate("adam")], {}, 1)


@pytest.mark.parametrize(
    ("missing", "fraction"),
    [(0, 0.0), (1, 0.1), (10, 1.0), (3, 0.3), (7, 0.7)],
)
def test_selection_goes_on_with_up_to_the_allowed_fraction_missing(
    missing: int, fraction: float
) -> None:
    proposed = candidates(10)
    records = evaluations(proposed, dict.fromkeys(range(10 - missing), 0.5))
    check_complete(proposed, records, fraction)
    assert len(select_initial(proposed, records, 2).particles) == 2


def test_a_fraction_is_compared_without_rounding_against_the_user() -> None:
    # 0.29 * 100 is 28.999999999999996 in floating point.
    proposed = candidates(100)
    check_complete(proposed, evaluations(proposed, dict.fromkeys(range(71), 0.5)), 0.29)
    with pytest.raises(InfrastructureError, match="30 of 100"):
        check_complete(proposed, evaluations(proposed, dict.fromkeys(range(70), 0.5)), 0.29)


def test_too_many_missing_evaluations_stop_the_selection() -> None:
    proposed = candidates(10)
    records = evaluations(proposed, dict.fromkeys(range(7), 0.5))
    with pytest.raises(
        InfrastructureError, match=r"3 of 10 evaluations are missing \(7, 8, 9\)"
    ) as told:
        check_complete(proposed, records, 0.2)
    assert "run the same command again" in str(told.value)


def test_failed_evaluations_are_not_missing() -> None:
    proposed = candidates(3)
    failed = evaluations(proposed, dict.fromkeys(range(3)))
    check_complete(proposed, failed, 0.0)
    assert [each.fitness for each in select_initial(proposed, failed, 3).particles] == [None] * 3
