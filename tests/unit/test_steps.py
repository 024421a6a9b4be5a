"""The steps of a run over a store: each is done once, in any order, and goes on where it was."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_run import (
    deterministic,
    finals,
    finish,
    generation,
    objects,
    start,
    tiny_config,
)

from evoptim import steps
from evoptim.config import RunConfig
from evoptim.errors import InputError
from evoptim.evolution import propose_children
from evoptim.records import Archive, Candidates, Evaluation, Population
from evoptim.steps.reading import planned_evaluations

pytestmark = pytest.mark.usefixtures("image_cache")


@pytest.fixture
def without_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if anything is trained."""

    def refuse(jobs: list[Any], workers: int) -> list[Any]:
        assert not jobs, f"trained again: {jobs}"
        return []

    monkeypatch.setattr("evoptim.training.evaluate_many", refuse)


def read(store: Path, name: str, run: str = "tiny") -> bytes:
    return (store / "runs" / run / name).read_bytes()


STEPS: dict[str, Callable[[str], object]] = {
    "initialise": lambda url: steps.initialise(url, "tiny", tiny_config().model_dump_json()),
    "propose": lambda url: steps.propose(url, "tiny", 1, 3),
    "propose-finals": lambda url: steps.propose_finals(url, "tiny", 3),
    "evaluate": lambda url: steps.evaluate(url, "tiny", 0, 0, 3),
    "evaluate-finals": lambda url: steps.evaluate_finals(url, "tiny", 0, 3),
    "select": lambda url: steps.select(url, "tiny", 0),
    "report": lambda url: steps.report(url, "tiny"),
    "summary": lambda url: steps.summary(url, "tiny"),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_finds_its_output_changes_nothing(
    step: str, finished: Path, without_training: None
) -> None:
    before = objects(finished)
    STEPS[step](str(finished))
    assert objects(finished) == before


@pytest.mark.parametrize("step", STEPS)
def test_a_step_says_the_same_the_second_time(step: str, finished: Path) -> None:
    assert STEPS[step](str(finished)) == STEPS[step](str(finished))


def test_a_run_evaluates_exactly_what_was_planned(finished: Path) -> None:
    found = [name for name in objects(finished) if "/evaluations/" in name and "runs/" in name]
    assert len(found) == planned_evaluations(tiny_config()) == 5 + 4 + 3


def test_the_order_and_size_of_chunks_change_nothing_but_measured_costs(
    finished: Path, tmp_path: Path
) -> None:
    start(tmp_path)
    for number in (0, 1):
        generation(tmp_path, number, size=1, order=lambda chunks: chunks[::-1])
    finals(tmp_path, size=1, order=lambda chunks: chunks[::-1])
    steps.report(str(tmp_path), "tiny")
    assert deterministic(tmp_path) == deterministic(finished)
    assert read(tmp_path, "report/archive.json") == read(finished, "report/archive.json")


def test_chunks_deal_out_every_candidate_once(finished: Path) -> None:
    assert steps.propose(str(finished), "tiny", 0, 3) == [0, 1]
    assert steps.propose(str(finished), "tiny", 0, 5) == [0]
    assert steps.propose(str(finished), "tiny", 0, 1) == [0, 1, 2, 3, 4]
    assert steps.propose_finals(str(finished), "tiny", 1) == [0, 1, 2]


def test_a_chunk_evaluates_its_own_candidates_only(tmp_path: Path) -> None:
    start(tmp_path)
    steps.propose(str(tmp_path), "tiny", 0, 2)
    steps.evaluate(str(tmp_path), "tiny", 0, 1, 2)
    found = sorted(path.name for path in tmp_path.glob("runs/tiny/generations/000/evaluations/*"))
    assert found == ["00002.json", "00003.json"]


def test_an_interrupted_generation_goes_on_where_it_was(finished: Path, store: Path) -> None:
    lost = "generations/001/evaluations/00002.json"
    record = json.loads(read(store, lost))
    (store / "runs/tiny" / lost).unlink()
    shutil.rmtree(store / "evaluations" / record["subject"])
    shutil.rmtree(store / "runs/tiny/report")
    (store / "runs/tiny/generations/001/population.json").unlink()
    before = objects(store)
    finish(store)
    after = objects(store)
    assert {name: after[name] for name in before} == before
    assert deterministic(store) == deterministic(finished)


@pytest.mark.parametrize(
    "lost", ["generations/000/candidates.json", "generations/000/evaluations/00003.json"]
)
def test_what_was_removed_of_a_selected_generation_is_made_again(
    finished: Path, store: Path, lost: str
) -> None:
    (store / "runs/tiny" / lost).unlink()
    shutil.rmtree(store / "runs/tiny/report")
    finish(store)
    assert deterministic(store) == deterministic(finished)


def test_another_run_reuses_every_evaluation(store: Path, without_training: None) -> None:
    start(store, "again")
    finish(store, "again")
    for name in objects(store / "runs/tiny"):
        if "/evaluations/" in name or name.startswith("generations"):
            # To the byte: costs too are those of the one training that there was.
            assert read(store, name, "again") == read(store, name)


def test_an_evaluation_of_the_run_is_enough_without_a_shared_one(
    store: Path, without_training: None
) -> None:
    shutil.rmtree(store / "evaluations")
    before = objects(store)
    STEPS["evaluate"](str(store))
    assert objects(store) == before


def test_a_search_with_another_seed_reuses_the_baselines(store: Path) -> None:
    start(store, "again", seed=1)
    finish(store, "again")
    # To the byte: costs too are those of the one training that there was.
    assert read(store, "finals/evaluations/00002.json", "again") == read(
        store, "finals/evaluations/00002.json"
    )


def test_the_finals_are_of_the_best_and_every_baseline(finished: Path) -> None:
    archive = Archive.model_validate_json(read(finished, "report/archive.json"))
    proposed = Candidates.model_validate_json(read(finished, "finals/candidates.json"))
    roles = [(each.role, each.id) for each in proposed.candidates]
    best = archive.entries[0].candidate
    assert roles == [("finalist", best.id), ("baseline", "sgd"), ("baseline", "adam")]
    # It is the candidate that it was, but for its place.
    again = proposed.candidates[0].model_copy(update={"role": best.role, "index": best.index})
    assert again == best
    assert proposed.protocol == tiny_config_of(finished).finals_protocol().content_id()


def tiny_config_of(store: Path, run: str = "tiny") -> RunConfig:
    return RunConfig.model_validate_json(read(store, "config.json", run))


def test_fewer_finalists_than_wanted_are_no_error(tmp_path: Path) -> None:
    start(tmp_path, search__generations=0, search__initial=2, finals__candidates=9)
    finish(tmp_path, generations=0)
    archive = Archive.model_validate_json(read(tmp_path, "report/archive.json"))
    scored = sum(each.fitness is not None for each in archive.entries)
    assert len(archive.finals) == scored + 2 < 9 + 2


def test_test_images_are_measured_in_the_finals_alone(finished: Path) -> None:
    for path in sorted((finished / "runs/tiny").glob("**/evaluations/*.json")):
        record = Evaluation.model_validate_json(path.read_bytes())
        measured = [each.test_accuracy is not None for each in record.trainings]
        last = path.parent.parent.name == "finals"
        assert measured == [last] * len(measured)
        assert (record.test_accuracy is not None) == (last and record.fitness is not None)


def test_the_search_never_looks_at_test_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evoptim.training import full

    looked: list[int] = []
    original = full.measure

    def measure(network: Any, images: Any, *rest: Any) -> Any:
        looked.append(len(images))
        return original(network, images, *rest)

    monkeypatch.setattr(full, "measure", measure)
    config = start(tmp_path)
    for number in (0, 1):
        generation(tmp_path, number)
    assert set(looked) == {config.protocol.task.validation}
    looked.clear()
    finals(tmp_path)
    # One finalist and two baselines, once each, at the end of its only training.
    assert looked.count(config.protocol.task.test or 0) == 3


def test_finals_follow_the_last_generation(tmp_path: Path) -> None:
    start(tmp_path)
    generation(tmp_path, 0)
    with pytest.raises(InputError, match="generation 1 is not selected yet"):
        steps.propose_finals(str(tmp_path), "tiny", 3)
    assert not (tmp_path / "runs/tiny/finals").exists()


def test_a_search_by_the_finals_seeds_is_not_taken_for_finals(store: Path) -> None:
    start(store, "again", protocol__seeds=[101], finals__seeds=[102])
    generation(store, 0, "again")
    records = [
        Evaluation.model_validate_json(path.read_bytes())
        for path in (store / "runs/again").glob("**/evaluations/*.json")
    ]
    assert {each.test_accuracy for each in records} == {None}


def test_files_of_others_in_a_stage_do_no_harm(store: Path) -> None:
    folder = store / "runs/tiny/generations/001"
    population = folder / "population.json"
    selected = population.read_bytes()
    population.unlink()
    for name in (".DS_Store", "notes.txt", "00000.json.bak"):
        (folder / "evaluations" / name).write_text("not ours")
    steps.select(str(store), "tiny", 1)
    assert population.read_bytes() == selected


def test_the_archive_holds_every_candidate_and_baseline(finished: Path) -> None:
    archive = Archive.model_validate_json(read(finished, "report/archive.json"))
    proposed = [
        each.id
        for number in (0, 1)
        for each in Candidates.model_validate_json(
            read(finished, f"generations/{number:03d}/candidates.json")
        ).candidates
    ]
    assert sorted(entry.candidate.id for entry in archive.entries) == sorted(proposed)
    assert {entry.candidate.id for entry in archive.finals} == {
        *("sgd", "adam"),
        archive.entries[0].candidate.id,
    }


def test_the_summary_has_finite_numbers_by_plain_names(finished: Path) -> None:
    found = steps.summary(str(finished), "tiny")
    assert found["candidates"] == 9
    assert 0.0 < found["best evolved validation accuracy"] <= 1.0
    assert 0.0 < found["best baseline validation accuracy"] <= 1.0
    assert all(isinstance(value, float) for value in found.values())


def test_where_every_candidate_failed_there_is_a_report_without_champion(tmp_path: Path) -> None:
    impossible = tiny_config().protocol.sweep.model_dump(mode="json") | {"minimum_accuracy": 1.0}
    start(tmp_path, search__generations=0, protocol__sweep=impossible)
    finish(tmp_path, generations=0)
    files = {path.name for path in (tmp_path / "runs/tiny/report").iterdir()}
    assert files == {"index.html", "summary.json", "archive.json"}
    population = Population.model_validate_json(read(tmp_path, "generations/000/population.json"))
    assert [each.fitness for each in population.particles] == [None, None]
    assert "best evolved validation accuracy" not in steps.summary(str(tmp_path), "tiny")
    genome, facts = steps.champion(str(tmp_path), "tiny")
    assert (genome, facts) == ("{}\n", {"formula": "none: every candidate failed"})
    metrics = steps.population_metrics(str(tmp_path), "tiny", 0)
    assert metrics["particles without a fitness"] == 2.0
    assert "best validation accuracy" not in metrics


@pytest.fixture(scope="module")
def two_protocols(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunConfig]:
    """A finished run whose first generation is scored by a protocol of its own."""
    store = tmp_path_factory.mktemp("two-protocols")
    first = tiny_config().protocol.model_dump(mode="json") | {"seeds": [7]}
    start(store, initial_protocol=first, search__generations=2, search__children=1)
    finish(store, generations=2)
    return store, RunConfig.model_validate_json(read(store, "config.json"))


def test_the_first_generation_has_a_protocol_of_its_own(
    two_protocols: tuple[Path, RunConfig],
) -> None:
    store, config = two_protocols
    assert config.initial_protocol is not None
    ids = [
        Candidates.model_validate_json(read(store, f"{stage}/candidates.json")).protocol
        for stage in ("generations/000", "generations/001", "generations/002", "finals")
    ]
    later = config.protocol.content_id()
    last = config.finals_protocol().content_id()
    assert ids == [config.initial_protocol.content_id(), later, later, last]


def test_particles_are_scored_again_once_where_the_protocol_changes(
    two_protocols: tuple[Path, RunConfig],
) -> None:
    store, config = two_protocols
    roles = [
        [
            each.role
            for each in Candidates.model_validate_json(
                read(store, f"generations/{number:03d}/candidates.json")
            ).candidates
        ]
        for number in (0, 1, 2)
    ]
    assert roles == [["initial"] * 5, ["particle"] * 2 + ["child"] * 2, ["child"] * 2]
    found = [name for name in objects(store) if "/evaluations/" in name and "runs/" in name]
    assert len(found) == planned_evaluations(config) == 5 + 4 + 2 + 3


def test_no_genome_is_proposed_twice_in_a_run(two_protocols: tuple[Path, RunConfig]) -> None:
    store, _ = two_protocols
    ids = [
        each.id
        for path in store.glob("runs/tiny/generations/*/candidates.json")
        for each in Candidates.model_validate_json(path.read_bytes()).candidates
        if each.role != "particle"
    ]
    assert len(ids) == len(set(ids)) == 9


def test_what_any_earlier_generation_proposed_counts_as_seen(
    two_protocols: tuple[Path, RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Real mutants rarely come back to an old genome, so that what is handed over is looked at.
    store = Path(shutil.copytree(two_protocols[0], tmp_path / "store"))
    (store / "runs/tiny/generations/002/candidates.json").unlink()
    # By the module's name: the package's attribute of that name is the step itself.
    module = importlib.import_module("evoptim.steps.propose")
    handed: list[set[str]] = []

    def listen(gene: Any, seed: int, population: Any, children: int, seen: Any, **more: Any) -> Any:
        handed.append(set(seen))
        return propose_children(gene, seed, population, children, seen, **more)

    monkeypatch.setattr(module, "propose_children", listen)
    steps.propose(str(store), "tiny", 2, 1)
    earlier = [
        Candidates.model_validate_json(read(store, f"generations/{number:03d}/candidates.json"))
        for number in (0, 1)
    ]
    assert handed == [{each.id for stage in earlier for each in stage.candidates}]
    assert deterministic(store) == deterministic(two_protocols[0])


def test_evaluations_that_may_be_missing_count_as_failed(tmp_path: Path) -> None:
    start(tmp_path, search__generations=0, max_missing_fraction=0.6)
    steps.propose(str(tmp_path), "tiny", 0, 2)
    steps.evaluate(str(tmp_path), "tiny", 0, 1, 2)
    steps.select(str(tmp_path), "tiny", 0)
    population = Population.model_validate_json(read(tmp_path, "generations/000/population.json"))
    proposed = Candidates.model_validate_json(read(tmp_path, "generations/000/candidates.json"))
    chosen = {proposed.candidates[index].id for index in (2, 3)}
    assert {each.id for each in population.particles} == chosen
