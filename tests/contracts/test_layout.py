"""The keys that other programs rely on: a change here breaks every store in use."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evoptim.errors import InputError
from evoptim.store import Stage, check_key
from evoptim.store import layout as at

THIRD = Stage.generation(3)
FINALS = Stage.finals()


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (at.config_key("first"), "runs/first/config.json"),
        (at.candidates_key("first", THIRD), "runs/first/generations/003/candidates.json"),
        (
            at.evaluation_key("first", THIRD, 42),
            "runs/first/generations/003/evaluations/00042.json",
        ),
        (
            at.candidates_part_key("first", THIRD, 7),
            "runs/first/generations/003/candidates/007.json",
        ),
        (at.population_key("first", 3), "runs/first/generations/003/population.json"),
        (at.candidates_key("first", FINALS), "runs/first/finals/candidates.json"),
        (at.evaluation_key("first", FINALS, 0), "runs/first/finals/evaluations/00000.json"),
        (at.report_key("first", "index.html"), "runs/first/report/index.html"),
        (at.report_key("first", "summary.json"), "runs/first/report/summary.json"),
        (at.report_key("first", "archive.json"), "runs/first/report/archive.json"),
        (at.report_key("first", "champion.json"), "runs/first/report/champion.json"),
        (at.report_key("first", "champion.py"), "runs/first/report/champion.py"),
        (at.log_key("first", "20250131T235959"), "runs/first/logs/20250131T235959.log"),
        (at.shared_evaluation_key("0a1b", "2c3d"), "evaluations/0a1b/2c3d.json"),
        (at.run_prefix("first"), "runs/first/"),
        (at.evaluations_prefix("first", THIRD), "runs/first/generations/003/evaluations/"),
    ],
)
def test_the_layout_is_as_documented(key: str, expected: str) -> None:
    assert key == expected


GENERATIONS = st.integers(0, at.GENERATIONS - 1)
INDICES = st.integers(0, at.EVALUATIONS - 1)
RUNS = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)


class TestOrder:
    @given(RUNS, GENERATIONS, GENERATIONS, INDICES, INDICES)
    def test_keys_sort_as_their_numbers_do(
        self, run: str, generation: int, other: int, index: int, another: int
    ) -> None:
        first = at.evaluation_key(run, Stage.generation(generation), index)
        second = at.evaluation_key(run, Stage.generation(other), another)
        assert (first < second) == ((generation, index) < (other, another))
        assert check_key(first) == first

    def test_the_longest_names_still_make_keys(self) -> None:
        last = Stage.generation(at.GENERATIONS - 1)
        key = at.evaluation_key("r" * 63, last, at.EVALUATIONS - 1)
        assert check_key(key) == key


class TestStage:
    @given(GENERATIONS)
    def test_its_text_gives_it_back(self, number: int) -> None:
        stage = Stage.generation(number)
        assert Stage.parse(str(stage)) == stage
        assert stage.number == number

    def test_the_finals_have_no_number(self) -> None:
        assert str(FINALS) == "finals"
        assert Stage.parse("finals") == FINALS
        assert FINALS.number is None

    @pytest.mark.parametrize(
        "text", ["", "final", "generations/3", "generations/0003", "generations/00a", "../003"]
    )
    def test_other_texts_are_refused(self, text: str) -> None:
        with pytest.raises(InputError, match=f"a stage must be .*got {re.escape(repr(text))}"):
            Stage.parse(text)

    def test_digits_of_other_scripts_are_refused(self) -> None:
        with pytest.raises(InputError):
            Stage.parse("generations/٠٠٣")

    @pytest.mark.parametrize("number", [-1, at.GENERATIONS])
    def test_a_generation_out_of_bounds_is_refused(self, number: int) -> None:
        with pytest.raises(InputError, match=f"from 0 to 999, got {number}"):
            Stage.generation(number)


class TestRefusals:
    @pytest.mark.parametrize("run", ["a", "0", "first-run", "a--b", "x" * 63])
    def test_good_run_names(self, run: str) -> None:
        assert at.check_run_name(run) == run

    @pytest.mark.parametrize(
        "run", ["", "-a", "a-", "A", "a_b", "a.b", "a/b", "a b", "a\n", "..", "é", "x" * 64]
    )
    def test_bad_run_names(self, run: str) -> None:
        with pytest.raises(InputError, match="a run name must be 1 to 63") as caught:
            at.config_key(run)
        assert repr(run) in str(caught.value)

    @pytest.mark.parametrize("index", [-1, at.EVALUATIONS])
    def test_an_index_out_of_bounds(self, index: int) -> None:
        with pytest.raises(InputError, match=f"from 0 to 99999, got {index}"):
            at.evaluation_key("a", THIRD, index)

    @pytest.mark.parametrize("name", ["", "a/b", "a b", "a\n"])
    def test_a_bad_id(self, name: str) -> None:
        with pytest.raises(InputError, match="the id in a key must be"):
            at.shared_evaluation_key(name, "p")
        with pytest.raises(InputError, match="the id in a key must be"):
            at.shared_evaluation_key("s", name)
        with pytest.raises(InputError, match="the start time in a key must be"):
            at.log_key("a", name)

    def test_a_file_that_no_report_has(self) -> None:
        with pytest.raises(InputError, match="a report file must be one of"):
            at.report_key("a", "secret.txt")  # type: ignore[arg-type]
