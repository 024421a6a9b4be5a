"""Long stages are also written in parts, and a task reads those of its chunk alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_run import objects, start

from evoptim import steps
from evoptim.errors import InputError
from evoptim.steps import parts
from evoptim.steps.chunks import chunk_numbers, chunk_of
from evoptim.steps.reading import read_candidates
from evoptim.store import Stage, Store, open_store

FIRST = Stage.generation(0)
COUNT = 11


@pytest.fixture(autouse=True)
def short_parts(monkeypatch: pytest.MonkeyPatch, image_cache: None) -> None:
    monkeypatch.setattr(parts, "CANDIDATES_IN_PART", 4)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    start(tmp_path, search__initial=COUNT)
    steps.propose(str(tmp_path), "tiny", 0, 1)
    return open_store(str(tmp_path))


def chunk(store: Store, number: int, size: int) -> Any:
    from evoptim.steps.reading import read_config

    return parts.read_chunk(
        store, "tiny", read_config(store, "tiny"), FIRST, number, size
    ).candidates


@pytest.mark.parametrize("size", [1, 3, 4, 5, 8, 9, 11, 20])
def test_a_chunk_of_parts_is_that_of_the_whole(store: Store, size: int) -> None:
    whole = read_candidates(store, "tiny", FIRST).candidates
    for number in chunk_numbers(COUNT, size):
        assert list(chunk(store, number, size)) == chunk_of(whole, number, size)


def test_a_task_reads_no_candidates_but_those_of_its_parts(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    original = type(store).get

    def get(self: Store, key: str) -> bytes:
        asked.append(key)
        return original(self, key)

    monkeypatch.setattr(type(store), "get", get)
    chunk(store, 2, 3)
    assert [key.partition("/000/")[2] for key in asked[1:]] == [
        "candidates/001.json",
        "candidates/002.json",
    ]


def test_the_whole_says_what_parts_that_are_gone_said(store: Store, tmp_path: Path) -> None:
    before = tuple(chunk(store, 1, 5))
    for path in (tmp_path / "runs/tiny/generations/000/candidates").iterdir():
        path.unlink()
    assert tuple(chunk(store, 1, 5)) == before


def test_a_killed_proposal_is_made_up_and_nothing_is_written_twice(
    store: Store, tmp_path: Path
) -> None:
    done = objects(tmp_path)
    folder = tmp_path / "runs/tiny/generations/000"
    (folder / "candidates.json").unlink()
    (folder / "candidates/002.json").unlink()
    kept = objects(tmp_path)
    steps.propose(str(tmp_path), "tiny", 0, 1)
    again = objects(tmp_path)
    assert {name: content for name, (_, content) in again.items()} == {
        name: content for name, (_, content) in done.items()
    }
    assert all(again[name] == kept[name] for name in kept)


def test_short_stages_have_no_parts(tmp_path: Path) -> None:
    start(tmp_path, search__initial=4)
    steps.propose(str(tmp_path), "tiny", 0, 1)
    assert not (tmp_path / "runs/tiny/generations/000/candidates").exists()


def test_a_chunk_that_there_is_not_is_refused(store: Store) -> None:
    with pytest.raises(InputError, match="have the chunks 0 to 2, got 3"):
        chunk(store, 3, 4)
