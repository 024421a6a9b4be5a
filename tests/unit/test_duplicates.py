"""Functional duplicates in a run: who is one, that it is not evaluated, what is read of it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sample_run import genome_candidate
from tiny_run import deterministic, finals, generation, start

from evoptim import steps
from evoptim.analysis import leaders
from evoptim.errors import InputError
from evoptim.evolution import Firsts
from evoptim.fingerprint import fingerprint
from evoptim.genome import Genome
from evoptim.records import Archive, Candidate, Candidates, Place, Population
from evoptim.report import render
from evoptim.steps.reading import read_config, read_stages
from evoptim.steps.report import read_inputs
from evoptim.store import Stage, open_store
from evoptim.verbs import results

pytestmark = pytest.mark.usefixtures("image_cache")

# The root reads a hidden node, or no run would draw it.
FIRST = (
    "None ~ id((g)+(v hat))",
    "Mom ~ id(tanh(g))",
    "None ~ id(id(sign(g)))",
    "Nest ~ id(id(v hat))",
)
TWINS = {
    # The integrity check turns the sign of the second one around.
    FIRST[0]: ("None ~ (g)-(-(v hat))", "None ~ -((-(g))-(v hat))"),
    FIRST[1]: ("Mom ~ tanh(-(g))",),
}
EVERY = (*FIRST, *(each for twins in TWINS.values() for each in twins))
OTHERS = tuple(
    f"{momentum} ~ id({operator}({operand}))"
    for momentum in ("None", "Nest")
    for operator in ("erf", "arctan")
    for operand in ("g", "v hat")
)


def candidate(text: str, index: int = 0, **more: Any) -> Candidate:
    return genome_candidate(text, index, fingerprint=fingerprint(Genome.parse(text)), **more)


def test_the_first_one_is_evaluated_and_later_ones_name_it() -> None:
    firsts = Firsts()
    texts = (FIRST[0], FIRST[2], TWINS[FIRST[0]][0])
    marked = tuple(firsts.mark([candidate(text, index) for index, text in enumerate(texts)], 0))
    assert [each.same_as for each in marked] == [None, None, marked[0].id]
    assert marked[2].twin == Place(generation=0, index=0)
    # Of duplicates the first one is named, in later generations too.
    later = tuple(firsts.mark([candidate(TWINS[FIRST[0]][0], 4)], 1))
    assert (later[0].same_as, later[0].twin) == (marked[0].id, marked[2].twin)


def test_those_that_are_read_back_are_remembered_and_duplicates_are_no_firsts() -> None:
    texts = (FIRST[0], TWINS[FIRST[0]][0])
    marked = tuple(Firsts().mark([candidate(text, index) for index, text in enumerate(texts)], 3))
    firsts = Firsts()
    firsts.remember(marked[1:], 3)
    assert next(iter(firsts.mark([candidate(FIRST[0])], 4))).same_as is None
    firsts = Firsts()
    firsts.remember(marked, 3)
    assert next(iter(firsts.mark([candidate(FIRST[0])], 4))).twin == Place(generation=3, index=0)


def test_one_equal_half_is_enough_and_none_at_all_is_not() -> None:
    def with_fingerprint(text: str | None, index: int) -> Candidate:
        plain = genome_candidate(FIRST[index], index)
        return plain.model_copy(update={"fingerprint": text})

    found = [with_fingerprint(text, i) for i, text in enumerate(("a-b", "c-b", None, None))]
    marked = tuple(Firsts().mark(found, 0))
    assert [each.same_as for each in marked] == [None, found[0].id, None, None]


def test_a_candidate_knows_its_twin_whole_or_not_at_all() -> None:
    with pytest.raises(ValueError, match="together"):
        genome_candidate(FIRST[0], same_as="somebody")


@pytest.fixture
def drawing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has runs draw these formulas in place of random ones, mutants likewise."""

    def draw(initial: tuple[str, ...], mutants: tuple[str, ...]) -> None:
        gene = importlib.import_module("evoptim.evolution.optimizer_gene")

        def sample(rng: Random, *_: Any) -> Genome:
            return Genome.parse(rng.choice(initial))

        class Mutant:
            change = "another one"

            def __init__(self, parent: Genome, rng: Random, *_: Any) -> None:
                self.genome = Genome.parse(rng.choice(mutants))

        monkeypatch.setattr(gene, "sample_genome", sample)
        monkeypatch.setattr(gene, "mutate", Mutant)

    return draw


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of what is trained, in order."""
    pool = importlib.import_module("evoptim.training.pool")
    found: list[str] = []
    evaluate = pool.evaluate

    def noted(subject: str, *args: Any, **more: Any) -> Any:
        found.append(subject)
        return evaluate(subject, *args, **more)

    monkeypatch.setattr(pool, "evaluate", noted)
    return found


def candidates(store: Path, number: int, run: str = "tiny") -> tuple[Candidate, ...]:
    path = store / f"runs/{run}/generations/{number:03d}/candidates.json"
    return Candidates.model_validate_json(path.read_bytes()).candidates


def evaluated(store: Path, number: int) -> list[int]:
    folder = store / f"runs/tiny/generations/{number:03d}/evaluations"
    return sorted(int(path.stem) for path in folder.iterdir())


SEVEN = {"search__initial": len(EVERY), "screens__duplicates": True}


def test_duplicates_are_trained_once_and_the_archive_is_whole(
    drawing: Callable[..., None], trained: list[str], tmp_path: Path
) -> None:
    drawing(EVERY, (*EVERY, *OTHERS))
    start(tmp_path, **SEVEN, search__generations=2, screens__hopeless={"margin": 0.1})
    trained.clear()
    for number in (0, 1, 2):
        generation(tmp_path, number)
    searched = sorted(trained)
    finals(tmp_path)
    steps.report(str(tmp_path), "tiny")
    proposed = [each for number in (0, 1, 2) for each in candidates(tmp_path, number)]
    twins = {each.id: each.same_as for each in proposed if each.same_as is not None}
    assert len(twins) == 3
    assert searched == sorted(each.id for each in proposed if each.id not in twins)
    for number in (0, 1, 2):
        own = [each.index for each in candidates(tmp_path, number) if each.same_as is None]
        assert evaluated(tmp_path, number) == own
    archive = Archive.model_validate_json((tmp_path / "runs/tiny/report/archive.json").read_bytes())
    assert len(archive.entries) == len(proposed)
    entries = {each.candidate.id: each for each in archive.entries}
    for each, same_as in twins.items():
        found = [
            (e.outcome, e.fitness, e.validation_loss, e.test_accuracy, e.rate)
            for e in (entries[each], entries[same_as])
        ]
        assert found[0] == found[1]
        assert found[0][1] is not None
        assert entries[same_as].rank < entries[each].rank
    best = leaders(archive, 20)
    assert {each.candidate.id for each in best}.isdisjoint(twins)
    assert len(best) == len(proposed) - 3


def test_a_twin_of_an_earlier_generation_is_found(
    drawing: Callable[..., None], trained: list[str], tmp_path: Path
) -> None:
    drawing(FIRST, (*TWINS[FIRST[0]], *TWINS[FIRST[1]]))
    start(tmp_path, **{**SEVEN, "search__initial": len(FIRST)}, search__children=1)
    generation(tmp_path, 0)
    before = len(trained)
    generation(tmp_path, 1)
    assert len(trained) == before
    children = candidates(tmp_path, 1)
    assert len(children) == 2
    first = {each.id: each for each in candidates(tmp_path, 0)}
    for child in children:
        assert child.same_as in first
        assert child.twin == Place(generation=0, index=first[child.same_as].index)
    population = Population.model_validate_json(
        (tmp_path / "runs/tiny/generations/001/population.json").read_bytes()
    )
    assert {each.id for each in population.particles} == {each.id for each in children}
    assert all(each.fitness is not None for each in population.particles)
    # Unfinished, and read all the same.
    assert all(each.fitness is not None for each in results("tiny", str(tmp_path)).entries)
    assert "tiny" in render(read_inputs(open_store(str(tmp_path)), "tiny"))


def test_chunks_of_duplicates_alone_need_no_pod_and_lack_nothing(
    drawing: Callable[..., None], tmp_path: Path
) -> None:
    drawing(FIRST, (*TWINS[FIRST[0]], *TWINS[FIRST[1]]))
    start(tmp_path, **{**SEVEN, "search__initial": len(FIRST)}, search__children=1)
    generation(tmp_path, 0)
    assert steps.propose(str(tmp_path), "tiny", 1, 1) == [0, 1]
    left = steps.missing_chunks(str(tmp_path), "tiny", Stage.generation(1), 1)
    assert (left.chunks, left.total, left.candidates) == ((), 2, 0)
    steps.select(str(tmp_path), "tiny", 1)
    assert steps.next_generation(str(tmp_path), "tiny") is None


def test_a_twin_whose_evaluation_is_lost_counts_as_missing(
    drawing: Callable[..., None], tmp_path: Path
) -> None:
    drawing(EVERY, OTHERS)
    start(tmp_path, **SEVEN, max_missing_fraction=1.0)
    generation(tmp_path, 0)
    duplicate = next(each for each in candidates(tmp_path, 0) if each.same_as is not None)
    assert duplicate.twin is not None
    lost = f"generations/000/evaluations/{duplicate.twin.index:05d}.json"
    (tmp_path / "runs/tiny" / lost).unlink()
    store = open_store(str(tmp_path))
    (stage,) = read_stages(store, "tiny", read_config(store, "tiny"))
    without = {each.candidate.id for each in stage if each.score is None}
    assert {duplicate.id, duplicate.same_as} <= without
    left = steps.missing_chunks(str(tmp_path), "tiny", Stage.generation(0), 1)
    assert left.chunks == (duplicate.twin.index,)


def test_a_record_of_somebody_else_is_refused(drawing: Callable[..., None], tmp_path: Path) -> None:
    drawing(EVERY, OTHERS)
    start(tmp_path, **SEVEN)
    generation(tmp_path, 0)
    folder = tmp_path / "runs/tiny/generations/000"
    duplicate = next(each for each in candidates(tmp_path, 0) if each.same_as is not None)
    path = folder / "candidates.json"
    path.write_text(path.read_text().replace(f'"same_as": "{duplicate.same_as}"', '"same_as": "x"'))
    assert next(each for each in candidates(tmp_path, 0) if each.same_as == "x").id == duplicate.id
    store = open_store(str(tmp_path))
    with pytest.raises(InputError, match="must be of"):
        read_stages(store, "tiny", read_config(store, "tiny"))


def test_the_size_and_order_of_chunks_change_nothing(
    drawing: Callable[..., None], tmp_path: Path
) -> None:
    drawing(EVERY, (*EVERY, *OTHERS))
    found = []
    for name, size, order in (("one", 100, list), ("other", 1, lambda chunks: chunks[::-1])):
        start(tmp_path / name, **SEVEN)
        for number in (0, 1):
            generation(tmp_path / name, number, size=size, order=order)
        found.append(deterministic(tmp_path / name))
    assert found[0] == found[1]


def test_where_the_protocol_changes_twins_are_found_anew(
    drawing: Callable[..., None], trained: list[str], tmp_path: Path
) -> None:
    pair = (FIRST[0], TWINS[FIRST[0]][0])
    drawing(pair, (*TWINS[FIRST[0]][1:], *OTHERS))
    initial = {**_protocol(), "batch_size": 10}
    changes: dict[str, Any] = {"search__initial": 2, "initial_protocol": initial}
    start(tmp_path, screens__duplicates=True, search__children=2, **changes)
    for number in (0, 1):
        generation(tmp_path, number)
    first, second = candidates(tmp_path, 0), candidates(tmp_path, 1)
    assert first[1].twin == Place(generation=0, index=0)
    # The particles are scored again, one of them for both; no child has a twin in generation 0.
    assert [each.role for each in second[:2]] == ["particle", "particle"]
    assert (second[0].same_as, second[1].same_as) == (None, second[0].id)
    assert all(each.twin is None or each.twin.generation == 1 for each in second)
    again = [each for each in second[2:] if each.formula == str(Genome.parse(TWINS[FIRST[0]][1]))]
    assert all(each.twin == Place(generation=1, index=0) for each in again)
    assert trained.count(first[0].id) == 2
    assert first[1].id not in trained


def _protocol() -> dict[str, Any]:
    from tiny_run import tiny_config

    return tiny_config().protocol.model_dump(mode="json")


def test_a_run_that_looks_for_none_has_none(drawing: Callable[..., None], tmp_path: Path) -> None:
    drawing(EVERY, OTHERS)
    start(tmp_path, **{**SEVEN, "screens__duplicates": False})
    steps.propose(str(tmp_path), "tiny", 0, 3)
    found = candidates(tmp_path, 0)
    assert {(each.fingerprint, each.same_as, each.twin) for each in found} == {(None, None, None)}
