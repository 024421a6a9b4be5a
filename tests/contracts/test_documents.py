"""Values go into a store as canonical JSON and come back equal, or are refused by name."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from evoptim.errors import InputError
from evoptim.store import MissingObjectError, Store, load, open_store, save, to_json


class Curve(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    losses: tuple[float, ...]
    steps: int = Field(alias="n-steps", ge=0)


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    fitness: float | None
    curves: dict[str, Curve] = {}


RECORD = Record(
    name="∇f",
    fitness=0.1,
    curves={
        "b": Curve(losses=(2.5, 1.0), **{"n-steps": 2}),
        "a": Curve(losses=(), **{"n-steps": 0}),
    },
)
TEXT = """\
{
 "curves": {
  "a": {
   "losses": [],
   "n-steps": 0
  },
  "b": {
   "losses": [
    2.5,
    1.0
   ],
   "n-steps": 2
  }
 },
 "fitness": 0.1,
 "name": "∇f"
}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def test_the_text_is_canonical() -> None:
    assert to_json(RECORD).decode() == TEXT


def test_a_value_comes_back_equal(store: Store) -> None:
    assert save(store, "a.json", RECORD)
    assert load(store, "a.json", Record) == RECORD


def test_a_value_is_written_once(folder: Store) -> None:
    save(folder, "a.json", RECORD)
    assert not save(folder, "a.json", RECORD.model_copy(update={"name": "other"}))
    assert load(folder, "a.json", Record) == RECORD


FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(st.text(st.characters(exclude_categories=["Cs"])), FINITE, st.lists(FINITE), st.text("ab"))
def test_every_bit_of_every_number_survives(
    name: str, fitness: float, losses: list[float], curve: str
) -> None:
    record = Record(
        name=name,
        fitness=fitness,
        curves={curve: Curve(losses=tuple(losses), **{"n-steps": len(losses)})},
    )
    again = Record.model_validate_json(to_json(record))
    assert again == record
    # Zero equals minus zero, their bits differ.
    assert repr(again.fitness) == repr(fitness)
    assert to_json(again) == to_json(record)
    json.loads(to_json(record))


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_json_cannot_say_is_never_written(folder: Store, number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        save(folder, "a.json", Record(name="a", fitness=number))
    assert not folder.exists("a.json")


def test_a_missing_object_is_missing(folder: Store) -> None:
    with pytest.raises(MissingObjectError):
        load(folder, "a.json", Record)


@pytest.mark.parametrize("length", range(0, len(TEXT.encode()) - 2, 7))
def test_a_truncated_object_is_refused_with_its_name_and_position(
    folder: Store, length: int
) -> None:
    folder.put("runs/a/config.json", TEXT.encode()[:length])
    with pytest.raises(InputError) as caught:
        load(folder, "runs/a/config.json", Record)
    line = str(caught.value)
    assert line.startswith(
        f"a stored object must be a complete Record, but {folder.url}/runs/a/config.json is not: "
    )
    assert "at line " in line
    assert "remove that object and run the same command again" in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"name": "a", "fitness": "high"}', "fitness"),
        ('{"name": "a"}', "fitness"),
        ('{"name": "a", "fitness": 1, "unknown": 1}', "unknown"),
        (
            '{"name": "a", "fitness": 1, "curves": {"x": {"losses": [1, "b"], "n-steps": 1}}}',
            "losses.1",
        ),
        ("[]", "is not: Input should be an object"),
        ("\x00\x01", "at line 1"),
    ],
)
def test_an_object_of_another_shape_is_refused_with_the_place(
    folder: Store, text: str, place: str
) -> None:
    folder.put("a.json", text.encode())
    with pytest.raises(InputError, match="must be a complete Record") as caught:
        load(folder, "a.json", Record)
    assert place in str(caught.value)


def test_bytes_that_are_no_text_are_refused(folder: Store) -> None:
    folder.put("a.json", b'{"name": "\xff\xfe", "fitness": 1}')
    with pytest.raises(InputError, match="must be a complete Record"):
        load(folder, "a.json", Record)
