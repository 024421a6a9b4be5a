"""How far a run has come, as its store tells."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tiny_run import finals, finish, generation, start, tiny_config

from evoptim import steps
from evoptim.errors import InputError
from evoptim.steps.reading import planned_evaluations
from evoptim.store import open_store
from evoptim.verbs import progress as module
from evoptim.verbs import results
from evoptim.verbs.progress import Progress


def follow(store: Path, config: object = None) -> Progress:
    return Progress(open_store(str(store)), "tiny", config or tiny_config())  # type: ignore[arg-type]


@pytest.mark.usefixtures("image_cache")
def test_it_follows_a_run_from_before_its_start_to_its_end(tmp_path: Path) -> None:
    progress = follow(tmp_path)
    first = progress.update()
    assert (first.done, first.planned, first.stage, first.best) == (0, 12, None, None)
    start(tmp_path)
    generation(tmp_path, 0)
    second = progress.update()
    assert (second.done, second.stage) == (5, "generation 0")
    generation(tmp_path, 1)
    third = progress.update()
    assert (third.done, third.stage) == (9, "generation 1")
    finals(tmp_path)
    last = progress.update()
    assert (last.done, last.planned, last.stage, last.unread) == (12, 12, "finals", 0)
    # What the finals measure is no fitness of the search.
    assert last.best == third.best
    assert last == follow(tmp_path).update()


def test_the_best_and_the_failed_are_those_of_the_archive(finished: Path) -> None:
    archive = results("tiny", str(finished))
    found = follow(finished).update()
    entries = [*archive.entries, *archive.finals]
    assert found.best == max(each.fitness or 0.0 for each in archive.entries)
    assert found.failed == sum(each.fitness is None for each in entries)


def test_a_large_run_is_counted_without_reading_what_is_selected(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = follow(finished).update()
    monkeypatch.setattr(module, "_READ", 1)
    progress = follow(finished)
    first = progress.update()
    # Nine of two generations and two of three in the finals.
    assert (first.done, first.unread) == (12, 11)
    assert first.best == whole.best
    second = progress.update()
    assert (second.done, second.unread) == (12, 10)


@pytest.mark.usefixtures("image_cache")
def test_the_share_is_by_the_most_steps_of_each_evaluation(tmp_path: Path) -> None:
    config = start(tmp_path)
    progress = follow(tmp_path, config)
    assert progress.update().share == 0.0
    generation(tmp_path, 0)
    search, last = 2 * 2 + 4, 2 * 2 + (2 * 1 + 1) * 4
    assert (config.protocol.most_steps, config.finals_protocol().most_steps) == (search, last)
    whole = 9 * search + 3 * last
    assert progress.update().share == 5 * search / whole
    generation(tmp_path, 1)
    assert progress.update().share == 9 * search / whole
    finals(tmp_path)
    assert progress.update().share == 1.0


def test_a_run_that_ended_early_is_whole(tmp_path: Path, image_cache: None) -> None:
    config = start(tmp_path, search__generations=3, seed=3, baselines=["sgd"])
    for number in (0, 1):
        generation(tmp_path, number)
    progress = follow(tmp_path, config)
    assert (progress.update().done, progress.update().planned) == (5 + 4, 5 + 3 * 4 + 2)
    # Its end is in its finals: without patience it would go on.
    steps.propose_finals(str(tmp_path), "tiny", 3, patience=1)
    assert (progress.update().done, progress.update().planned) == (9, 11)
    steps.evaluate_finals(str(tmp_path), "tiny", 0, 3)
    assert (progress.update().done, progress.update().planned) == (11, 11)
    assert follow(tmp_path, config).update() == progress.update()


def test_a_selection_settles_what_it_gave_up(store: Path) -> None:
    lost = store / "runs/tiny/generations/000/evaluations/00003.json"
    lost.unlink()
    assert follow(store).update().done == planned_evaluations(tiny_config())


def test_a_broken_object_is_named(store: Path) -> None:
    shutil.rmtree(store / "runs/tiny/generations/001")
    broken = store / "runs/tiny/generations/000/evaluations/00003.json"
    broken.write_text("{")
    with pytest.raises(InputError, match=r"generations/000/evaluations/00003\.json"):
        follow(store).update()


@pytest.mark.usefixtures("image_cache")
def test_scores_under_another_protocol_are_not_the_best(tmp_path: Path) -> None:
    other = tiny_config().protocol.model_dump(mode="json") | {"batch_size": 10}
    config = start(tmp_path, initial_protocol=other)
    finish(tmp_path)
    entries = results("tiny", str(tmp_path)).entries
    best = max(each.fitness or 0.0 for each in entries)
    assert follow(tmp_path, config).update().best == best
