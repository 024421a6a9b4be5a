"""How well screens predict which mutants of the authors' search failed, and at what cost.

Mutants are the distinct ones of Morgan & Hougen's log, labelled as failed where any of their
evaluations failed. A third of them (every third, in the log's order) chose the trial's problem; the
rest say how good it is, though they had a part in its threshold (docs/decisions/0008-screens.md).
Baselines: the first rate of the integrity check, and a trial of 80 steps, each refusing as many as
it may of the mutants of that third that trained.

    EVOPTIM_REFERENCE_DIR=… python benchmarks/screens.py [--limit 100]

The folder holds ``evolved_log.csv`` (role, momentum, expression, failed) and ``log_integrity.csv``
(momentum, expression) with one row for each candidate.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from scipy.stats import binomtest

from evoptim.config import TrialSpec
from evoptim.genome import Genome
from evoptim.integrity import check_integrity
from evoptim.trial import load_digits, trial

FOLDER_VARIABLE = "EVOPTIM_REFERENCE_DIR"
MAY_REFUSE = 0.02
"""Share of the mutants that trained which a baseline may refuse of those that chose it."""
CRUDE = TrialSpec(steps=80, threshold=1.0)


@dataclass(frozen=True)
class Mutant:
    genome: Genome
    failed: bool
    design: bool


@dataclass(frozen=True)
class Judged:
    """Scores, of which low ones predict failure, and the core-seconds that each took."""

    mutant: Mutant
    trial: float
    seconds: float
    crude: float
    crude_seconds: float
    rate: float
    rate_seconds: float


def read_mutants(folder: Path) -> list[Mutant]:
    known = {_pair(row) for row in _rows(folder / "log_integrity.csv")}
    failed: dict[tuple[str, str], bool] = {}
    for row in _rows(folder / "evolved_log.csv"):
        pair = _pair(row)
        if row["role"] == "mutation" and pair in known:
            failed[pair] = failed.get(pair, False) or row["failed"] == "1"
    return [
        Mutant(Genome.parse(" ~ ".join(pair)), each, number % 3 == 0)
        for number, (pair, each) in enumerate(failed.items())
    ]


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _pair(row: dict[str, str]) -> tuple[str, str]:
    return row["momentum"], row["expression"]


def judge(mutant: Mutant) -> Judged:
    began = time.process_time()
    integrity = check_integrity(mutant.genome)
    checked = time.process_time()
    genome = mutant.genome.with_sign(integrity.sign)
    result = trial(genome)
    tried = time.process_time()
    crude = trial(genome, CRUDE)
    return Judged(
        mutant,
        *(result.accuracy, tried - checked),
        *(crude.accuracy, time.process_time() - tried),
        *(integrity.rate or 0.0, checked - began),
    )


Score = Callable[[Judged], float]


def chosen_threshold(judged: Sequence[Judged], score: Score) -> float:
    """The highest one under which at most :data:`MAY_REFUSE` of the trained mutants stay."""
    trained = sorted(score(each) for each in judged if not each.mutant.failed)
    return trained[int(MAY_REFUSE * len(trained))]


def share(judged: Sequence[Judged], refuses: Callable[[Judged], bool]) -> str:
    refused = sum(map(refuses, judged))
    interval = binomtest(refused, len(judged)).proportion_ci(method="wilson")
    return (
        f"{refused / len(judged):6.1%} ({interval.low:.1%} to {interval.high:.1%}) "
        f"of {len(judged):4}"
    )


def line(
    name: str, judged: Sequence[Judged], score: Score, threshold: float, seconds: Score
) -> str:
    def refuses(each: Judged) -> bool:
        return score(each) < threshold

    failed = [each for each in judged if each.mutant.failed]
    trained = [each for each in judged if not each.mutant.failed]
    cost = sum(map(seconds, judged)) / len(judged)
    return (
        f"{name:24} {share(failed, refuses)}   {share(trained, refuses)}   {cost:7.3f}   "
        f"{threshold:7.3g}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--limit", type=int, help="the first mutants only, at least 60")
    limit = parser.parse_args().limit
    if limit is not None and limit < 60:
        parser.error(f"--limit must be at least 60, got {limit}: fewer tell nothing")
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        sys.exit(f"{FOLDER_VARIABLE} must name a folder with evolved_log.csv, log_integrity.csv")
    torch.set_num_threads(1)
    mutants = read_mutants(Path(folder))[:limit]
    load_digits()
    trial("None ~ id(g)")
    console = Console(stderr=True)
    judged = [judge(each) for each in track(mutants, "judging mutants", console=console)]
    design = [each for each in judged if each.mutant.design]
    rest = [each for each in judged if not each.mutant.design]
    rows: tuple[tuple[str, Score, float, Score], ...] = (
        ("trial", lambda e: e.trial, TrialSpec().threshold, lambda e: e.seconds),
        (
            "trial of 80 steps",
            lambda e: e.crude,
            chosen_threshold(design, lambda e: e.crude),
            lambda e: e.crude_seconds,
        ),
        (
            "integrity's first rate",
            lambda e: e.rate,
            chosen_threshold(design, lambda e: e.rate),
            lambda e: e.rate_seconds,
        ),
    )
    print(f"{'':24} {'failed ones caught':33} {'trained ones refused':33} {'core s':>8}   below")
    for title, some in (("the third that chose", design), ("the rest", rest)):
        print(title)
        for name, score, threshold, seconds in rows:
            print(line(f"  {name}", some, score, threshold, seconds))


if __name__ == "__main__":
    main()
