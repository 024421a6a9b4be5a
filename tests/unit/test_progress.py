"""How far a run has come, as its store tells."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tiny_run import baselines, finish, generation, start, tiny_config

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
    assert (first.done, first.planned, first.stage, first.best) == (0, 11, None, None)
    start(tmp_path)
    baselines(tmp_path)
    second = progress.update()
    assert (second.done, second.stage, second.best) == (2, "baselines", None)
    generation(tmp_path, 0)
    third = progress.update()
    assert (third.done, third.stage) == (7, "generation 0")
    generation(tmp_path, 1)
    last = progress.update()
    assert (last.done, last.stage, last.unread) == (11, "generation 1", 0)
    assert last == follow(tmp_path).update()


def test_the_best_and_the_failed_are_those_of_the_archive(finished: Path) -> None:
    archive = results("tiny", str(finished))
    found = follow(finished).update()
    entries = [*archive.entries, *archive.baselines]
    assert found.best == max(each.fitness or 0.0 for each in archive.entries)
    assert found.failed == sum(each.fitness is None for each in entries)


def test_a_large_run_is_counted_without_reading_what_is_selected(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = follow(finished).update()
    monkeypatch.setattr(module, "_READ", 1)
    progress = follow(finished)
    first = progress.update()
    # Nine of two generations and one of two baselines.
    assert (first.done, first.unread) == (11, 10)
    assert first.best == whole.best
    second = progress.update()
    assert (second.done, second.unread) == (11, 9)


def test_a_run_that_ended_early_is_whole(tmp_path: Path, image_cache: None) -> None:
    config = start(tmp_path, search__generations=3, baselines=["sgd"])
    baselines(tmp_path)
    for number in (0, 1):
        generation(tmp_path, number)
    progress = follow(tmp_path, config)
    assert (progress.update().done, progress.update().planned) == (1 + 5 + 4, 1 + 5 + 3 * 4)
    # Its end is the report's: without patience it would go on.
    folder = tmp_path / "runs/tiny/report"
    folder.mkdir()
    for name in ("index.html", "summary.json", "archive.json"):
        (folder / name).touch()
    assert (progress.update().done, progress.update().planned) == (10, 10)
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
