"""What steps tell dashboards and drivers: metrics, the champion, what is missing."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import tiny_run

from evoptim import steps
from evoptim.errors import InputError
from evoptim.genome import Genome
from evoptim.records import Population
from evoptim.store import Stage, load, open_store
from evoptim.store.layout import population_key


def test_metrics_of_a_generation_are_those_of_its_population(finished: Path) -> None:
    population = load(open_store(str(finished)), population_key("tiny", 1), Population)
    scores = [each.fitness for each in population.particles if each.fitness is not None]
    metrics = steps.population_metrics(str(finished), "tiny", 1)
    assert metrics["particles"] == 2
    assert metrics["best validation accuracy"] == max(scores)
    assert metrics["worst validation accuracy"] == min(scores)
    assert all(isinstance(value, float) and math.isfinite(value) for value in metrics.values())
    replaced = sum(each.generation == 1 for each in population.particles)
    assert metrics["particles replaced"] == replaced


def test_metrics_of_a_generation_that_is_not_selected_are_refused(finished: Path) -> None:
    with pytest.raises(InputError, match="generation 7 of the run 'tiny' has no population yet"):
        steps.population_metrics(str(finished), "tiny", 7)


def test_the_champion_is_a_genome_with_its_formula_beside_it(finished: Path) -> None:
    text, facts = steps.champion(str(finished), "tiny")
    Genome.from_json(json.loads(text))
    formula = facts["formula"]
    assert isinstance(formula, str)
    assert formula
    assert isinstance(facts["validation accuracy"], float)
    assert all(isinstance(value, str | float) for value in facts.values())


def test_a_champion_without_its_file_is_still_told(store: Path) -> None:
    (store / "runs/tiny/report/champion.json").unlink()
    text, facts = steps.champion(str(store), "tiny")
    assert text == "{}\n"
    assert facts["formula"]


def test_a_champion_before_the_report_is_refused(tmp_path: Path, image_cache: None) -> None:
    tiny_run.start(tmp_path)
    with pytest.raises(InputError, match="has no summary yet: run its report step first"):
        steps.champion(str(tmp_path), "tiny")


@pytest.mark.parametrize(
    ("gone", "size", "chunks"),
    [
        ((), 2, ()),
        ((0,), 2, (0,)),
        ((1, 4), 2, (0, 2)),
        ((0, 1, 2, 3, 4), 3, (0, 1)),
        ((3,), 9, (0,)),
    ],
)
def test_missing_chunks_are_those_that_lack_an_evaluation(
    store: Path, gone: tuple[int, ...], size: int, chunks: tuple[int, ...]
) -> None:
    for index in gone:
        (store / f"runs/tiny/generations/000/evaluations/{index:05d}.json").unlink()
    missing = steps.missing_chunks(str(store), "tiny", Stage.generation(0), size)
    assert missing == steps.Missing(chunks, math.ceil(5 / size), len(gone))
    finals = steps.missing_chunks(str(store), "tiny", Stage.finals(), size)
    assert finals.chunks == ()
