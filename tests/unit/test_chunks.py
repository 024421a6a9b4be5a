"""Which chunk a task of a Job trains."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from evoptim import steps
from evoptim.cli.main import main
from evoptim.errors import InputError
from evoptim.steps.chunks import (
    chunk_at,
    chunk_numbers,
    chunk_of,
    chunk_with,
    ranges_text,
    runs_of,
)

numbers = st.sets(st.integers(min_value=0, max_value=99_999), min_size=1, max_size=80).map(sorted)


stages = st.tuples(
    st.integers(min_value=1, max_value=3_000), st.integers(min_value=1, max_value=400)
)


@given(stages)
def test_chunks_deal_out_every_candidate_once(stage: tuple[int, int]) -> None:
    count, size = stage
    chunks = [chunk_of(range(count), chunk, size) for chunk in chunk_numbers(count, size)]
    assert sorted(number for chunk in chunks for number in chunk) == list(range(count))
    assert all(1 <= len(chunk) <= size for chunk in chunks)
    assert all(chunk == sorted(chunk) for chunk in chunks)
    for number, chunk in enumerate(chunks):
        assert {chunk_with(each, count, size) for each in chunk} == {number}


@given(stages)
def test_all_tasks_can_begin_when_an_eighth_is_drawn(stage: tuple[int, int]) -> None:
    count, size = stage
    chunks = chunk_numbers(count, size)
    heads = [runs_of(count, chunk, size)[0] for chunk in chunks]
    if size < 8:
        assert not any(heads)
    else:
        assert heads[-1].stop <= len(chunks) * size / 8
        assert all(heads) or count < len(chunks) * (size // 8)


@given(stages, st.sampled_from([-1, 0]))
def test_a_chunk_that_there_is_not_is_refused(stage: tuple[int, int], beyond: int) -> None:
    count, size = stage
    chunk = beyond if beyond else len(chunk_numbers(count, size))
    with pytest.raises(InputError, match=f"have the chunks 0 to .*, got {chunk}: give the same"):
        chunk_of(range(count), chunk, size)


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
