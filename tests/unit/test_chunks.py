"""Which chunk a task of a Job trains."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from evoptim import steps
from evoptim.cli.main import main
from evoptim.errors import InputError
from evoptim.steps.chunks import chunk_at, ranges_text

numbers = st.sets(st.integers(min_value=0, max_value=99_999), min_size=1, max_size=80).map(sorted)


@given(numbers)
def test_each_task_finds_its_chunk_in_the_list(chunks: list[int]) -> None:
    text = ranges_text(chunks)
    assert [chunk_at(index, text) for index in range(len(chunks))] == chunks


@given(st.integers(min_value=0, max_value=99_999))
def test_without_a_list_a_task_trains_the_chunk_of_its_number(index: int) -> None:
    assert chunk_at(index, None) == index


def test_neighbours_take_little_room() -> None:
    assert ranges_text([0, 1, 2, 3, 4, 7, 9, 10]) == "0-4,7,9-10"
    assert ranges_text(range(100_000)) == "0-99999"


@pytest.mark.parametrize("text", ["", "a", "1,,2", "5-3", "1-2-3", "-1", "1;2", "1 2"])
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="chunks are written like 0-4,7, got"):
        chunk_at(5, text)


def test_a_task_beyond_the_list_is_refused() -> None:
    with pytest.raises(InputError, match="there are 3 tasks, numbered from 0, got 3"):
        chunk_at(3, "4-5,9")


@pytest.mark.parametrize(
    ("arguments", "environment", "chunk"),
    [
        (["--chunk", "7"], {}, 7),
        ([], {"JOB_COMPLETION_INDEX": "3"}, 3),
        ([], {"JOB_COMPLETION_INDEX": "1", "EVOPTIM_CHUNKS": "2,5-6"}, 5),
        (["--chunk", "7"], {"JOB_COMPLETION_INDEX": "1", "EVOPTIM_CHUNKS": "2,5-6"}, 7),
    ],
)
def test_the_command_takes_its_chunk_from_the_job(
    arguments: list[str],
    environment: dict[str, str],
    chunk: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    monkeypatch.setattr(steps, "evaluate", lambda *given, wait: asked.append((*given, wait)))
    command = ["step", "evaluate", "--store", "s", "--run", "r", "--generation", "2", *arguments]
    result = CliRunner().invoke(main, command, env=environment)
    assert (result.exit_code, result.output) == (0, "")
    assert asked == [("s", "r", 2, chunk, 1, False)]


def test_the_command_says_what_is_wrong_with_a_list() -> None:
    command = ["step", "evaluate", "--run", "r", "--generation", "2"]
    environment = {"JOB_COMPLETION_INDEX": "4", "EVOPTIM_CHUNKS": "2,5-6"}
    result = CliRunner().invoke(main, command, env=environment)
    assert result.exit_code == 2
    assert "there are 3 tasks, numbered from 0, got 4" in result.output
