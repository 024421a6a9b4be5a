"""Large objects: read and written piece by piece, and not to be told from small ones."""

from __future__ import annotations

import json
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError
from sample_run import genome_candidate, sample_run

from evoptim.analysis import build_archive
from evoptim.config import JsonObject
from evoptim.errors import InputError
from evoptim.records import Archive, Candidates, Score
from evoptim.store import documents, load, open_store, read_many, save, to_json
from evoptim.store.many import THREADS
from evoptim.store.pieces import join_lists, json_pieces, parse_pieces

RUN = sample_run()
ARCHIVE = build_archive(RUN.run, RUN.config, RUN.stages)
NOTHING = Candidates(protocol="p", candidates=())
VALUES = [ARCHIVE, RUN.stages[1].candidates, RUN.populations[0], NOTHING, RUN.config]
NAMES = ["archive", "candidates", "population", "nothing", "configuration"]


@pytest.mark.parametrize("value", VALUES, ids=NAMES)
@pytest.mark.parametrize("sort_keys", [True, False])
def test_pieces_are_the_text_of_the_whole(value: BaseModel, sort_keys: bool) -> None:
    plain = value.model_dump(mode="json")
    whole = json.dumps(plain, sort_keys=sort_keys, indent=1, ensure_ascii=False)
    assert "".join(json_pieces(value, sort_keys=sort_keys)) == whole


@pytest.mark.parametrize("size", [1, 2, 3, 1_000])
def test_lists_that_are_joined_are_that_of_the_whole(size: int) -> None:
    whole = RUN.stages[1].candidates
    shorter = [
        Candidates(protocol=whole.protocol, candidates=whole.candidates[begin : begin + size])
        for begin in range(0, len(whole.candidates), size)
    ]
    assert len(whole.candidates) > 3
    assert join_lists([to_json(each) for each in shorter], "candidates") == to_json(whole)


@pytest.mark.parametrize("value", VALUES[:3], ids=NAMES[:3])
def test_what_is_read_in_pieces_is_what_was_written(value: BaseModel) -> None:
    assert parse_pieces(to_json(value), type(value)) == value


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: json.dumps(json.loads(text)).encode(),
        lambda text: text.replace(b'"index": 0,', b'"index": "0",'),
        lambda text: text[: len(text) // 2],
        lambda text: text.replace(b"\n  },\n", b"\n  }\n", 1),
        lambda text: text + b"{}",
    ],
    ids=["another layout", "a wrong type", "truncated", "a comma less", "something after it"],
)
def test_anything_else_is_left_to_reading_the_whole(spoil: object) -> None:
    text = to_json(RUN.stages[1].candidates)
    assert parse_pieces(spoil(text), Candidates) is None  # type: ignore[operator]


def test_a_large_object_in_another_layout_is_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "_LONG", 0)
    store = open_store(str(tmp_path))
    store.put("other.json", ARCHIVE.model_dump_json().encode())
    assert load(store, "other.json", Archive) == ARCHIVE
    save(store, "own.json", ARCHIVE)
    assert load(store, "own.json", Archive) == ARCHIVE


def test_the_item_that_is_wrong_in_a_large_object_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "_LONG", 0)
    store = open_store(str(tmp_path))
    text = to_json(RUN.stages[1].candidates)
    store.put("broken.json", text.replace(b'"index": 3,', b'"index": null,'))
    with pytest.raises(InputError, match=r"broken\.json is not: candidates\.3\.index"):
        load(store, "broken.json", Candidates)


class TestJsonObject:
    VALUES = {"b": [1, {"c": 2.5}], "a": "ü"}

    def test_it_reads_like_the_dictionary_that_it_was_made_of(self) -> None:
        made = JsonObject(self.VALUES)
        assert made == self.VALUES
        assert made == self.VALUES
        assert made == JsonObject(dict(reversed(self.VALUES.items())))
        assert (made["a"], len(made), list(made)) == ("ü", 2, ["a", "b"])
        assert hash(made) == hash(JsonObject(self.VALUES))
        assert made != {"a": "ü"}

    def test_nothing_that_is_done_to_its_values_changes_it(self) -> None:
        given = {"b": [1]}
        made = JsonObject(given)
        given["b"].append(2)
        made["b"].append(3)
        assert made == {"b": [1]}

    def test_it_crosses_process_borders(self) -> None:
        made = JsonObject(self.VALUES)
        assert pickle.loads(pickle.dumps(made)) == made

    @pytest.mark.parametrize("gene", ["text", [1], {1: 2}, {"a": object()}, {"a": float("nan")}])
    def test_a_candidate_refuses_a_gene_that_is_no_json_object(self, gene: object) -> None:
        values = dict(genome_candidate("None ~ id(g)"))
        with pytest.raises(ValidationError, match="gene"):
            type(genome_candidate("None ~ id(g)"))(**values | {"gene": gene})


def test_a_score_says_what_the_record_says() -> None:
    for record in RUN.drawn.values():
        score = Score.of(record)
        for name in ("subject", "protocol", "outcome", "fitness", "rate", "steps", "message"):
            assert getattr(score, name) == getattr(record, name)
        assert (score.seconds, score.device) == (record.cost.seconds, record.cost.device)
        assert score.trainings == len(record.trainings)
        assert dict(score.versions) == record.versions


class TestReadingMany:
    @pytest.mark.parametrize("count", [0, 1, 7, 3_000])
    def test_results_come_in_the_order_of_the_keys(self, count: int) -> None:
        keys = [str(number) for number in range(count)]
        assert list(read_many(int, keys)) == list(range(count))

    def test_no_more_is_read_than_somebody_will_take_soon(self) -> None:
        read: list[str] = []
        results = read_many(_noted(read), [str(number) for number in range(100_000)])
        next(results)
        results.close()  # type: ignore[attr-defined]
        assert len(read) <= 2 * THREADS * 32

    def test_a_few_are_asked_for_at_once(self) -> None:
        together = threading.Barrier(4, timeout=30)

        def read(key: str) -> str:
            together.wait()
            return key

        assert list(read_many(read, list("abcd"))) == list("abcd")

    def test_never_more_than_the_bound_are_asked_for_at_once(self) -> None:
        lock, now, most = threading.Lock(), 0, 0

        def read(key: str) -> None:
            nonlocal now, most
            with lock:
                now += 1
                most = max(most, now)
            with lock:
                now -= 1

        assert len(list(read_many(read, ["key"] * 2_000))) == 2_000
        assert most <= THREADS

    def test_the_first_error_in_the_order_of_keys_comes_in_its_place(self) -> None:
        results: Iterator[int] = read_many(int, ["0", "1", "x", "3", "y"])
        assert [next(results), next(results)] == [0, 1]
        with pytest.raises(ValueError, match="'x'"):
            next(results)


def _noted(read: list[str]) -> object:
    def note(key: str) -> str:
        read.append(key)
        return key

    return note
