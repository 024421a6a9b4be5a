"""Work of a step in several processes, and how many it may take."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest
from sample_run import evaluation

from evoptim.config import preset
from evoptim.errors import InfrastructureError, InputError
from evoptim.evolution import OptimizerGene, propose_initial
from evoptim.steps import processes, scores
from evoptim.store import MissingObjectError, Stage, open_store, save
from evoptim.store.layout import evaluation_key


def shifted(number: int, by: int) -> int:
    return number + by


def fall(number: int) -> int:
    os._exit(number)


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 100000", 16), ("200000 100000", 2), ("50000 100000", 1), ("3200000 100000", 16)],
)
def test_cores_are_those_of_the_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    monkeypatch.setattr(processes, "_QUOTA", tmp_path / "cpu.max")
    assert processes.cores() == 16
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert processes.cores() == expected


def test_few_items_stay_in_this_process() -> None:
    outer = os.getpid()
    pids = list(processes.in_order(lambda _: os.getpid(), range(20), "numbers"))
    assert pids == [outer] * 20


def test_many_items_keep_their_order_and_say_how_far_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(processes, "cores", lambda: 1)
    monkeypatch.setattr(processes, "_PROGRESS_SECONDS", 0.0)
    numbers = range(processes.LEAST)
    assert list(processes.in_order(partial(shifted, by=3), numbers, "numbers")) == [
        number + 3 for number in numbers
    ]
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines()[-1] == "1,000 of 1,000 numbers"


@pytest.mark.slow
def test_optimizers_drawn_in_two_processes_are_those_drawn_in_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    search = preset("quickstart").search
    gene = OptimizerGene(search.sampling, search.mutation)
    alone = tuple(propose_initial(gene, 0, 120))
    monkeypatch.setattr(processes, "LEAST", 100)
    monkeypatch.setattr(processes, "cores", lambda: 2)
    spread = partial(processes.in_order, what="candidates")
    assert tuple(propose_initial(gene, 0, 120, in_order=spread)) == alone


@pytest.mark.slow
def test_a_process_that_dies_is_the_machines_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "LEAST", 100)
    monkeypatch.setattr(processes, "cores", lambda: 2)
    with pytest.raises(InfrastructureError, match="lack of memory: run the same command again"):
        list(processes.in_order(fall, [3] * 120, "numbers"))


@pytest.fixture
def records(tmp_path: Path) -> list[str]:
    """Keys of a dozen evaluations in a store in this folder."""
    store, stage = open_store(str(tmp_path)), Stage.generation(0)
    keys = [evaluation_key("run", stage, index) for index in range(12)]
    for index, key in enumerate(keys):
        save(store, key, evaluation(f"{index:064x}", "protocol", 0.05 * index))
    return keys


def test_scores_read_in_batches_are_those_read_one_by_one(
    tmp_path: Path, records: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(str(tmp_path))
    alone = list(scores.scores_of(store, records))
    monkeypatch.setattr(scores, "_MANY", 10)
    monkeypatch.setattr(scores, "_BATCH", 5)
    monkeypatch.setattr(scores, "cores", lambda: 2)
    monkeypatch.setattr(processes, "cores", lambda: 1)
    assert list(scores.scores_of(store, records)) == alone
    assert [each.fitness for each in alone] == [0.05 * index for index in range(12)]


@pytest.mark.slow
def test_a_record_that_a_process_cannot_read_is_named(
    tmp_path: Path, records: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scores, "_MANY", 10)
    monkeypatch.setattr(scores, "_BATCH", 5)
    for module in (scores, processes):
        monkeypatch.setattr(module, "cores", lambda: 2)
    store = open_store(str(tmp_path))
    assert len(list(scores.scores_of(store, records))) == 12
    (tmp_path / records[7]).write_text("{}")
    with pytest.raises(InputError, match=records[7]):
        list(scores.scores_of(store, records))
    (tmp_path / records[7]).unlink()
    with pytest.raises(MissingObjectError, match=records[7]):
        list(scores.scores_of(store, records))
