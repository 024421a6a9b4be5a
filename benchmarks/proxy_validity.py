"""Do cheap protocols rank optimizers as the paper's CIFAR-10 fitness does?

Candidates are drawn from those of Morgan & Hougen's log that trained; the truth is the mean of
their logged validation accuracies under the paper's evolution fitness. Each is evaluated here under
cheap protocols, on digits and on CIFAR-10 at 16x16, and everything that an evaluation says
(accuracy, loss, slopes, what the sweep saw) is a way to rank. Printed is Spearman's correlation
with a bootstrap interval. Every other candidate has a part in choosing a way to rank; the rest say
how good the choice is.

    EVOPTIM_REFERENCE_DIR=... python benchmarks/proxy_validity.py --out FOLDER --data cifar10.zip

Evaluations are kept in FOLDER, one JSON object a line: kill it and start it again at any time, or
with a larger ``--sample``, which begins with the smaller one. ``--report`` prints what is kept. The
reference folder holds ``evolved_log.csv`` (role, momentum, expression, val_acc, failed).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from known_rate import at_known_rate
from numpy.typing import NDArray
from proxy_features import FEATURES, FITNESS
from proxy_figure import Mark, validity_figure
from rank_correlation import (
    Ceiling,
    Estimate,
    Values,
    advantage,
    bootstrap,
    ceiling,
    mean_rank,
    pooled_deviation,
    ranks,
    spearman,
)
from rich.console import Console
from rich.progress import track

from evoptim.config import FullTraining, Protocol, ScheduleSpec, TrialSpec
from evoptim.config.presets import quickstart_protocol
from evoptim.genome import Genome
from evoptim.integrity import check_integrity
from evoptim.records import Evaluation
from evoptim.steps.evaluate import make_evolved
from evoptim.training import Job, evaluate_many
from evoptim.trial import TrialResult, load_digits, trial

FOLDER_VARIABLE = "EVOPTIM_REFERENCE_DIR"
EVOLUTION_ROLES = ("mutation", "init_particle")

LENGTHS = (("digits", 100), ("cifar", 100), ("digits", 1_200), ("cifar", 1_200))
"""Other lengths of the full training, at the rate that the protocol of that name chose."""

PAIRS = (
    ("digits", "cifar"),
    ("digits, the paper's shape", "cifar"),
    ("digits, 100 steps", "cifar, 100 steps"),
    ("digits, 1200 steps", "cifar, 1200 steps"),
)
"""Protocols of which the mean of both ranks is a way to rank, too; ``+ rate`` is the mean of these
two and of the rank by the first rate that the integrity check finds."""


# --- the log -------------------------------------------------------------------------------------


def read_log(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def trained(rows: Sequence[Mapping[str, str]]) -> dict[str, tuple[float, ...]]:
    """Logged evolution accuracies, as fractions, by formula."""
    found: dict[str, list[float]] = {}
    for row in rows:
        if row["role"] in EVOLUTION_ROLES and row["failed"] == "0":
            found.setdefault(_formula(row), []).append(float(row["val_acc"]))
    return {formula: tuple(values) for formula, values in found.items()}


def initial_scores(rows: Sequence[Mapping[str, str]]) -> tuple[Values, Values]:
    """The authors' own cheap protocol: initial and evolution fitness of their particles."""
    scored = [row for row in rows if row["failed"] == "0"]
    initial = {
        _formula(row): float(row["val_acc"]) for row in scored if row["role"] == "init_model"
    }
    pairs = [
        (initial[_formula(row)], float(row["val_acc"]))
        for row in scored
        if row["role"] == "init_particle" and _formula(row) in initial
    ]
    cheap, full = np.array(pairs, dtype=np.float64).T
    return cheap, full


def sample(formulas: Sequence[str], count: int, seed: int) -> list[str]:
    """The first ones of a random order, so that a larger sample begins with a smaller one."""
    shuffled = sorted(formulas)
    random.Random(seed).shuffle(shuffled)
    return shuffled[:count]


def _formula(row: Mapping[str, str]) -> str:
    return f"{row['momentum']} ~ {row['expression']}"


def signed(formula: str) -> Genome:
    """The genome with the sign that the integrity check gives it."""
    genome = Genome.parse(formula)
    return genome.with_sign(check_integrity(genome).sign)


# --- the protocols -------------------------------------------------------------------------------


def swept(data: str | None) -> dict[str, Protocol]:
    """Protocols with a sweep of their own: those of ``quickstart``, and one in the paper's shape,
    whose sweep sees nothing but the warm-up of the full training's schedule. No rate is raced for,
    so that all that a sweep can see is there."""
    digits = _whole_sweep(quickstart_protocol())
    training = trained_for(digits.training, 600, warmup=60)
    sweep = digits.sweep.model_copy(update={"schedule": training.schedule})
    shaped = {"sweep": sweep, "training": training, "seeds": (0,)}
    protocols = {"digits": digits}
    if data is not None:
        cifar = _whole_sweep(quickstart_protocol("cifar10"))
        task = cifar.task.model_copy(update={"data": data})
        protocols["cifar"] = cifar.model_copy(update={"task": task})
    return protocols | {"digits, the paper's shape": digits.model_copy(update=shaped)}


def _whole_sweep(protocol: Protocol) -> Protocol:
    return protocol.model_copy(update={"sweep": protocol.sweep.model_copy(update={"racing": None})})


def trained_for(base: FullTraining, steps: int, warmup: int) -> FullTraining:
    """``base`` with another number of steps, never given up."""
    epochs = steps // base.steps_per_epoch
    schedule = ScheduleSpec(total_steps=steps, warmup_steps=warmup)
    return base.model_copy(update={"epochs": epochs, "schedule": schedule, "give_up_epoch": epochs})


def lengthened(base: Protocol, steps: int, rate: float) -> Protocol:
    training = trained_for(base.training, steps, warmup=steps // 10)
    return at_known_rate(base, rate, base.seeds[:1], training)


# --- measuring -----------------------------------------------------------------------------------


class Kept:
    """Evaluations by protocol's name and genome, in a file of JSON lines."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "evaluations.jsonl"
        self._found: dict[tuple[str, str], Evaluation] = {}
        if self._path.exists():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                # A kill may have cut the last line.
                if line.endswith("}}"):
                    row = json.loads(line)
                    evaluation = Evaluation.model_validate_json(json.dumps(row["evaluation"]))
                    self._found[row["protocol"], evaluation.subject] = evaluation

    def get(self, protocol: str, genome: Genome) -> Evaluation | None:
        return self._found.get((protocol, genome.id))

    def add(self, protocol: str, evaluation: Evaluation) -> None:
        self._found[protocol, evaluation.subject] = evaluation
        row = {"protocol": protocol, "evaluation": evaluation.model_dump(mode="json")}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


@dataclass(frozen=True)
class Wanted:
    name: str
    genome: Genome
    protocol: Protocol


def measure(title: str, wanted: Sequence[Wanted], kept: Kept, workers: int) -> None:
    """Evaluate what is not kept yet."""
    left = [each for each in wanted if kept.get(each.name, each.genome) is None]
    jobs = [
        Job(each.genome.id, partial(make_evolved, each.genome.to_json()), each.protocol)
        for each in left
    ]
    if not jobs:
        return
    done = evaluate_many(jobs, workers, device="cpu")
    for place, evaluation in track(done, title, len(jobs), console=Console(stderr=True)):
        kept.add(left[place].name, evaluation)


def longer(
    genomes: Sequence[Genome], base: str, protocol: Protocol, steps: int, kept: Kept
) -> Iterator[Wanted]:
    """Trainings of another length; a candidate that failed under ``base`` has no rate for one."""
    for genome in genomes:
        first = kept.get(base, genome)
        if first is not None and first.rate is not None:
            yield Wanted(of_length(base, steps), genome, lengthened(protocol, steps, first.rate))


def of_length(base: str, steps: int) -> str:
    return f"{base}, {steps} steps"


# --- ranking -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ranking:
    """A way to rank, and how it ranks the candidates that were measured so."""

    protocol: str
    feature: str
    places: NDArray[np.intp]
    """Of those candidates in the sample."""
    values: Values

    def part(self, truth: Values, remainder: int | None) -> tuple[Values, Values]:
        """Values and truth of the candidates of one half of the sample; None: of all."""
        chosen = (
            self.places % 2 == remainder
            if remainder is not None
            else np.full(len(self.places), True)
        )
        return self.values[chosen], truth[self.places[chosen]]


DESIGN, OTHER = 0, 1
NONE = "no training"


def outcome(kept: Kept, name: str, genome: Genome) -> Evaluation | None:
    """The evaluation of a genome; where a base protocol failed it, other lengths fail it, too."""
    found = kept.get(name, genome)
    if found is not None:
        return found
    base = kept.get(name.rpartition(", ")[0], genome)
    return base if base is not None and base.rate is None else None


def rankings(genomes: Sequence[Genome], names: Sequence[str], kept: Kept) -> list[Ranking]:
    """By every feature under every protocol, and by the mean of the ranks under two."""
    rates = [check_integrity(genome).rate for genome in genomes]
    found: list[Ranking] = []
    for group in [(name,) for name in names] + [pair for pair in PAIRS if set(pair) <= set(names)]:
        outcomes = [[outcome(kept, name, genome) for name in group] for genome in genomes]
        places = np.array([n for n, each in enumerate(outcomes) if None not in each], dtype=np.intp)
        if not len(places):
            continue
        for title, feature in FEATURES.items():
            scores = [[feature(each) for each in outcomes[n] if each is not None] for n in places]
            columns = list(zip(*scores, strict=True))
            values = mean_rank(*columns)
            found.append(Ranking(" + ".join(group), title, places, values))
            if len(group) > 1:
                values = mean_rank(*columns, [rates[n] for n in places])
                found.append(Ranking(" + ".join((*group, "rate")), title, places, values))
    return found


def controls(genomes: Sequence[Genome]) -> list[Ranking]:
    """What needs no training, or next to none: a protocol that ranks should rank better."""
    load_digits()
    whole = [trial(genome, TrialSpec(threshold=1.0)) for genome in genomes]
    rates = [check_integrity(genome).rate for genome in genomes]
    accuracies = [each.accuracy for each in whole]
    measured = {
        "trial's training accuracy": ranks(accuracies),
        "steps to the trial's threshold": ranks([-_steps(trial(genome)) for genome in genomes]),
        "trial's rate": ranks([each.rate for each in whole]),
        "integrity check's first rate": ranks(rates),
        "trial's training accuracy + first rate": mean_rank(accuracies, rates),
        "shortness of the formula": ranks([-float(len(str(genome))) for genome in genomes]),
    }
    places = np.arange(len(genomes))
    return [Ranking(NONE, title, places, values) for title, values in measured.items()]


def _steps(result: TrialResult) -> float:
    """How long it took to reach the trial's threshold; longer than anything if it did not."""
    return float(result.steps if result.passes else 2 * TrialSpec().steps)


def chosen(every: Sequence[Ranking], truth: Values) -> Ranking:
    """The way to rank that does best on the half that designs."""
    return max(every, key=lambda each: float(spearman(*each.part(truth, DESIGN))))


# --- the report ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Log:
    """What the log itself says."""

    deviation: float
    """Of repeated evaluations, as a fraction."""
    most: Ceiling
    particles: int
    initial: Estimate
    """How the authors' initial fitness ranks their particles."""

    @staticmethod
    def of(rows: Sequence[Mapping[str, str]], accuracies: Mapping[str, Sequence[float]]) -> Log:
        deviation = pooled_deviation(list(accuracies.values()))
        means = np.array([fmean(values) for values in accuracies.values()])
        cheap, full = initial_scores(rows)
        return Log(deviation, ceiling(means, deviation), len(cheap), bootstrap(cheap, full))

    def lines(self) -> Iterator[str]:
        yield (
            f"noise of a logged accuracy: {100 * self.deviation:.2f} points; with it a perfect "
            f"ranking has {self.most.perfect:.2f}, another evaluation under the paper's fitness "
            f"{self.most.repeated:.2f}"
        )
        yield f"the authors' initial fitness, of {self.particles} particles: {self.initial}"


def table(every: Sequence[Ranking], truth: Values) -> Iterator[str]:
    yield (
        f"{'protocol':36} {'feature':36} {'of':>4}  {'half that chooses':22} {'other half':22} all"
    )
    for each in every:
        estimates = (str(bootstrap(*each.part(truth, half))) for half in (DESIGN, OTHER, None))
        yield f"{each.protocol:36} {each.feature:36} {len(each.places):4}  {'  '.join(estimates)}"


def verdict(every: Sequence[Ranking], truth: Values) -> Iterator[str]:
    """The choice of the one half, and how good it is on the other one."""
    best = chosen(every, truth)
    yield f"chosen on one half: {best.protocol}: {best.feature}"
    yield f"on the other half: {bootstrap(*best.part(truth, OTHER))}"
    for each in every:
        if each.feature == FITNESS and each.protocol in ("digits", "cifar", "digits + cifar"):
            yield f"  more than {each.protocol}, {FITNESS}: {gain(best, each, truth)}"


def gain(better: Ranking, worse: Ranking, truth: Values) -> Estimate:
    """On the candidates of the other half that both rank."""
    both = np.intersect1d(better.places, worse.places)
    both = both[both % 2 == OTHER]
    first, second = (each.values[np.searchsorted(each.places, both)] for each in (better, worse))
    return advantage(first, second, truth[both])


def marks(every: Sequence[Ranking], truth: Values) -> list[Mark]:
    """What the figure shows: of every protocol the fitness, of no training all, and the choice."""
    best = chosen([each for each in every if each.protocol != NONE], truth)
    shown = [each for each in every if each.protocol == NONE or each.feature == FITNESS]
    shown = [each for each in shown if " + rate" not in each.protocol]
    shown += [] if best in shown else [best]
    return [
        Mark(each.protocol, each.feature, bootstrap(*each.part(truth, OTHER)), each is best)
        for each in shown
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder in which results are kept")
    parser.add_argument("--data", help="folder or zip of CIFAR-10's images; digits alone without")
    parser.add_argument("--sample", type=int, default=220, help="candidates of the log (220)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample (0)")
    parser.add_argument("--workers", type=int, default=1, help="processes (1)")
    parser.add_argument("--protocols", nargs="*", help="which have a sweep of their own (all)")
    parser.add_argument(
        "--lengths",
        nargs="*",
        default=[f"{name}:{steps}" for name, steps in LENGTHS],
        metavar="PROTOCOL:STEPS",
        help="other lengths of the full training (%(default)s)",
    )
    parser.add_argument("--figure", type=Path, help="SVG file to write")
    parser.add_argument("--report", action="store_true", help="measure nothing more")
    options = parser.parse_args()
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        sys.exit(f"{FOLDER_VARIABLE} must name a folder with evolved_log.csv")
    torch.set_num_threads(1)
    rows = read_log(Path(folder) / "evolved_log.csv")
    accuracies = trained(rows)
    formulas = sample(list(accuracies), options.sample, options.seed)
    genomes = [signed(formula) for formula in formulas]
    protocols = swept(options.data)
    if options.protocols is not None:
        protocols = {name: protocols[name] for name in options.protocols}
    lengths = [(name, int(steps)) for name, _, steps in (e.partition(":") for e in options.lengths)]
    lengths = [(name, steps) for name, steps in lengths if name in protocols]
    kept = Kept(options.out)
    if not options.report:
        # Candidate by candidate, so that a kill leaves some whom all protocols share.
        every = [Wanted(n, genome, p) for genome in genomes for n, p in protocols.items()]
        measure("sweeps and trainings", every, kept, options.workers)
        for name, steps in lengths:
            wanted = list(longer(genomes, name, protocols[name], steps, kept))
            measure(of_length(name, steps), wanted, kept, options.workers)
    names = [*protocols, *(of_length(*length) for length in lengths)]
    every = rankings(genomes, names, kept)
    truth = np.array([fmean(accuracies[formula]) for formula in formulas])
    log, cheapest = Log.of(rows, accuracies), controls(genomes)
    print(f"a sample of {len(formulas)} of {len(accuracies)} candidates of the log that trained")
    for line in (*log.lines(), *table(every + cheapest, truth), *verdict(every, truth)):
        print(line)
    if options.figure is not None:
        drawn = validity_figure(marks(every + cheapest, truth), log.initial, log.most.repeated)
        options.figure.write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main()
