"""Work of a step in several processes, and how many it may take."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

from evoptim.config import preset
from evoptim.errors import InfrastructureError
from evoptim.evolution import OptimizerGene, propose_initial
from evoptim.steps import processes


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
    alone = propose_initial(gene, 0, 120)
    monkeypatch.setattr(processes, "LEAST", 100)
    monkeypatch.setattr(processes, "cores", lambda: 2)
    spread = partial(processes.in_order, what="candidates")
    assert propose_initial(gene, 0, 120, in_order=spread) == alone


@pytest.mark.slow
def test_a_process_that_dies_is_the_machines_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "LEAST", 100)
    monkeypatch.setattr(processes, "cores", lambda: 2)
    with pytest.raises(InfrastructureError, match="lack of memory: run the same command again"):
        list(processes.in_order(fall, [3] * 120, "numbers"))
