"""The verbs as plain calls: what they accept, and what they refuse before anything runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_run import finish, start

from evoptim.config import RunConfig, preset
from evoptim.errors import InputError
from evoptim.genome import Genome
from evoptim.verbs import compile_pipeline, export, find_genome, make_report, results, search, show
from evoptim.verbs.searching import _chunk_size

FORMULA = "Nest ~ bessel_i1e(arctan([(a13)*(a2)][g]))"


def test_an_optimizer_is_found_by_formula_by_file_and_by_itself(tmp_path: Path) -> None:
    genome = Genome.parse(FORMULA)
    path = tmp_path / "genome.json"
    path.write_text(json.dumps(genome.to_json()))
    assert find_genome(FORMULA) == genome == find_genome(str(path))
    assert show(genome) == show(FORMULA) == show(str(path))


def test_a_description_says_what_people_want_to_know() -> None:
    found = show(FORMULA)
    assert found.formula == FORMULA
    assert found.id == Genome.parse(FORMULA).id
    assert [slot.name for slot in found.state] == ["momentum"]
    assert found.decays == ("(a13)*(a2)",)
    assert r"\arctan" in found.latex


@pytest.mark.parametrize("name", ["run:1", "run:0", "run:999999999", "run:best"])
def test_a_rank_of_an_unknown_run_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no run 'run'"):
        find_genome(name, str(tmp_path))


def test_the_best_of_a_run_is_the_first_of_its_finals(finished: Path) -> None:
    archive = results("tiny", str(finished))
    first = next(each for each in archive.finals if each.candidate.role == "finalist")
    assert show("tiny:best", str(finished)).id == Genome.from_json(first.candidate.gene or {}).id
    # Exported with the rate that the finals chose.
    source = export("tiny:best", store=str(finished))
    assert "the best of the run tiny" in source
    assert f"{first.rate:g}" in source


@pytest.mark.usefixtures("image_cache")
def test_the_best_of_a_run_in_which_all_failed_is_refused(tmp_path: Path) -> None:
    start(tmp_path, search__generations=0, protocol__sweep__minimum_accuracy=1.0)
    finish(tmp_path, generations=0)
    with pytest.raises(InputError, match="the run 'tiny' has no best optimizer"):
        find_genome("tiny:best", str(tmp_path))


@pytest.mark.parametrize("verb", [results, make_report])
def test_an_unknown_run_is_refused_and_nothing_is_made(verb: object, tmp_path: Path) -> None:
    assert callable(verb)
    with pytest.raises(InputError, match="there is no run 'first'"):
        verb("first", str(tmp_path / "store"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("workers", [0, -2])
def test_a_search_needs_a_worker(workers: int, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"at least 1, got {workers}"):
        search(preset("quickstart"), "run", str(tmp_path / "store"), workers=workers)
    assert list(tmp_path.iterdir()) == []


def test_logs_without_a_folder_are_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("EVOPTIM_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(InputError, match="set EVOPTIM_CACHE_DIR to a folder"):
        search(preset("quickstart"), "run", str(tmp_path / "store"))


def changed(config: RunConfig, **search_values: int) -> RunConfig:
    return config.model_copy(update={"search": config.search.model_copy(update=search_values)})


def test_one_worker_gets_every_stage_in_one_piece() -> None:
    config = changed(preset("paper"), initial=100, particles=50, children=3)
    size = _chunk_size(config, 1)
    # The first children come with their particles, which are scored again.
    assert size >= max(100, 50 * 3 + 50, config.finals.candidates + len(config.baselines))


@pytest.mark.parametrize("children", [1, 2, 3])
def test_several_workers_share_the_children_of_a_generation(children: int) -> None:
    config = changed(preset("quickstart"), particles=3, children=children)
    size = _chunk_size(config, 2)
    assert size < 3 * children <= 2 * size


def test_a_pipeline_has_as_many_generations_as_the_configuration() -> None:
    none, four = (
        compile_pipeline(changed(preset("quickstart"), generations=count)) for count in (0, 4)
    )
    assert "generation 4" in four
    assert "generation 1" not in none
