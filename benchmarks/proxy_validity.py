"""Do cheap protocols rank optimizers as the paper's CIFAR-10 fitness does?

Candidates are drawn from those of Morgan & Hougen's log that trained; the truth is the mean of
their logged validation accuracies under the paper's evolution fitness. Each is evaluated here under
cheap protocols on digits and on CIFAR-10 at 16x16, and every feature of an evaluation (accuracy,
loss, slope, what the sweep saw, ...) is a way to rank. Printed is Spearman's rank correlation with
a bootstrap interval. Of the two halves of the sample one designs, that is: chooses a feature, and
the other one reports how good that choice is.

    EVOPTIM_REFERENCE_DIR=... python benchmarks/proxy_validity.py --data cifar10-images.zip --out FOLDER

Evaluations are kept in FOLDER, one JSON object a line: kill it and start it again at any time, or
with a larger ``--sample``. ``evolved_log.csv`` of the reference folder has the columns role,
momentum, expression, val_acc, failed.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rank_correlation import (
    Estimate,
    Values,
    advantage,
    bootstrap,
    ceiling,
    mean_rank,
    pooled_deviation,
    ranks,
)
from rich.console import Console
from rich.progress import track

from evoptim.config import FullTraining, Protocol, ScheduleSpec
from evoptim.config.presets import quickstart_protocol
from evoptim.genome import Genome
from evoptim.integrity import check_integrity
from evoptim.records import Evaluation
from evoptim.steps.evaluate import make_evolved
from evoptim.training import Job, evaluate_many
from evoptim.trial import load_digits, trial

FOLDER_VARIABLE = "EVOPTIM_REFERENCE_DIR"
EVOLUTION_ROLES = ("mutation", "init_particle")


@dataclass(frozen=True)
class Logged:
    """A candidate of the log that trained, with its sign as our integrity check chooses it."""

    genome: Genome
    accuracies: tuple[float, ...]
    """Of every logged evaluation under the evolution fitness, as fractions."""

    @property
    def truth(self) -> float:
        return statistics.fmean(self.accuracies)


# --- the log -------------------------------------------------------------------------------------


def read_log(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def trained(rows: Sequence[Mapping[str, str]]) -> dict[str, tuple[float, ...]]:
    """Logged evolution accuracies by formula, in the order of the log."""
    found: dict[str, list[float]] = {}
    for row in rows:
        if row["role"] in EVOLUTION_ROLES and row["failed"] == "0":
            formula = f"{row['momentum']} ~ {row['expression']}"
            found.setdefault(formula, []).append(float(row["val_acc"]))
    return {formula: tuple(values) for formula, values in found.items()}


def sample(found: Mapping[str, tuple[float, ...]], count: int, seed: int) -> list[Logged]:
    """The first ``count`` of a random order, so that a larger sample begins with a smaller one."""
    formulas = sorted(found)
    random.Random(seed).shuffle(formulas)
    return [_signed(formula, found[formula]) for formula in formulas[:count]]


def _signed(formula: str, accuracies: tuple[float, ...]) -> Logged:
    genome = Genome.parse(formula)
    return Logged(genome.with_sign(check_integrity(genome).sign), accuracies)


def initial_scores(rows: Sequence[Mapping[str, str]]) -> tuple[Values, Values]:
    """The authors' own cheap protocol: initial and evolution fitness of the same particles."""
    initial = {
        (row["momentum"], row["expression"]): float(row["val_acc"])
        for row in rows
        if row["role"] == "init_model" and row["failed"] == "0"
    }
    pairs = [
        (initial[key], float(row["val_acc"]))
        for row in rows
        if row["role"] == "init_particle"
        and row["failed"] == "0"
        and (key := (row["momentum"], row["expression"])) in initial
    ]
    cheap, full = np.array(pairs, dtype=np.float64).T
    return cheap, full


# --- the protocols -------------------------------------------------------------------------------


def swept(data: str | None) -> dict[str, Protocol]:
    """Protocols with a sweep of their own: those of ``quickstart``, and one in the paper's shape,
    whose sweep sees nothing but the warm-up of the full training's schedule."""
    digits = quickstart_protocol()
    schedule = ScheduleSpec(total_steps=600, warmup_steps=60)
    protocols = {
        "digits": digits,
        "digits, paper's shape": digits.model_copy(
            update={
                "sweep": digits.sweep.model_copy(update={"schedule": schedule}),
                "training": _training(digits.training, 600, 60),
                "seeds": (0,),
            }
        ),
    }
    if data is not None:
        small = quickstart_protocol("cifar10")
        task = small.task.model_copy(update={"data": data})
        protocols["cifar"] = small.model_copy(update={"task": task})
    return protocols


LENGTHS = (("digits", 100), ("cifar", 100), ("digits", 1_200), ("cifar", 1_200))
"""Other lengths of the full training, at the rate that the protocol of that name chose."""


def lengthened(base: Protocol, steps: int, rate: float) -> Protocol:
    """``base`` with a full training of ``steps`` steps at a known rate, under its first seed."""
    sweep = base.sweep.model_copy(
        update={
            "rates": ((rate,),),
            "epochs": 1,
            "steps_per_epoch": 1,
            "give_up_accuracy": 0.0,
            "minimum_accuracy": 0.0,
        }
    )
    training = _training(base.training, steps, steps // 10)
    return base.model_copy(
        update={"sweep": sweep, "training": training, "seeds": base.seeds[:1]}
    )


def _training(base: FullTraining, steps: int, warmup: int) -> FullTraining:
    epochs = steps // base.steps_per_epoch
    return base.model_copy(
        update={
            "epochs": epochs,
            "schedule": ScheduleSpec(total_steps=steps, warmup_steps=warmup),
            "give_up_epoch": epochs,
        }
    )


# --- the features --------------------------------------------------------------------------------

Feature = Callable[[Evaluation], "float | None"]


def _over_seeds(evaluation: Evaluation, value: Callable[[Curve], float | None]) -> float | None:
    if evaluation.fitness is None:
        return None
    values = [value(Curve(training)) for training in evaluation.trainings]
    known = [each for each in values if each is not None]
    return statistics.fmean(known) if len(known) == len(values) else None


class Curve:
    """The learning curve of one full training."""

    def __init__(self, training: object) -> None:
        self.rows = training.curve  # type: ignore[attr-defined]

    def accuracy(self, share: float) -> float:
        return float(self.rows[self._at(share)].validation_accuracy)

    def loss(self, share: float) -> float | None:
        return _negative(self.rows[self._at(share)].validation_loss)

    def least_loss(self) -> float | None:
        known = [row.validation_loss for row in self.rows if row.validation_loss is not None]
        return _negative(min(known, default=None))

    def mean_accuracy(self) -> float:
        return statistics.fmean(row.validation_accuracy for row in self.rows)

    def train_loss(self) -> float | None:
        return _negative(self.rows[-1].train_loss)

    def _at(self, share: float) -> int:
        return max(0, round(share * len(self.rows)) - 1)


def _negative(loss: float | None) -> float | None:
    return None if loss is None else -float(loss)


def _probe_scores(evaluation: Evaluation) -> list[float]:
    return [probe.score for probe in evaluation.probes]


FEATURES: dict[str, Feature] = {
    "validation accuracy (the fitness)": lambda e: e.fitness,
    "validation accuracy, one seed": lambda e: (
        None
        if e.fitness is None or e.trainings[0].best_epoch is None
        else e.trainings[0].curve[e.trainings[0].best_epoch].validation_accuracy
    ),
    "validation loss, best epoch": lambda e: (
        None if e.fitness is None else _negative(e.validation_loss)
    ),
    "validation loss, last epoch": lambda e: _over_seeds(e, lambda c: c.loss(1.0)),
    "validation loss, least": lambda e: _over_seeds(e, Curve.least_loss),
    "validation loss at half": lambda e: _over_seeds(e, lambda c: c.loss(0.5)),
    "validation accuracy at a quarter": lambda e: _over_seeds(e, lambda c: c.accuracy(0.25)),
    "validation accuracy at half": lambda e: _over_seeds(e, lambda c: c.accuracy(0.5)),
    "validation accuracy, mean of epochs": lambda e: _over_seeds(e, Curve.mean_accuracy),
    "slope from a quarter to the end": lambda e: _over_seeds(
        e, lambda c: c.accuracy(1.0) - c.accuracy(0.25)
    ),
    "slope from half to the end": lambda e: _over_seeds(
        e, lambda c: c.accuracy(1.0) - c.accuracy(0.5)
    ),
    "training loss, last epoch": lambda e: _over_seeds(e, Curve.train_loss),
    "the sweep's best training accuracy": lambda e: max(_probe_scores(e), default=None),
    "the sweep's mean training accuracy": lambda e: (
        statistics.fmean(_probe_scores(e)) if e.probes else None
    ),
}


# --- measuring -----------------------------------------------------------------------------------


class Kept:
    """Evaluations by (protocol's name, genome id), in a file of JSON lines."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "evaluations.jsonl"
        self._found: dict[tuple[str, str], Evaluation] = {}
        if self._path.exists():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                # A kill may have cut the last line.
                if line.endswith("}}"):
                    row = json.loads(line)
                    evaluation = Evaluation.model_validate(row["evaluation"])
                    self._found[row["protocol"], evaluation.subject] = evaluation

    def get(self, protocol: str, genome: Genome) -> Evaluation | None:
        return self._found.get((protocol, genome.id))

    def add(self, protocol: str, evaluation: Evaluation) -> None:
        self._found[protocol, evaluation.subject] = evaluation
        row = {"protocol": protocol, "evaluation": evaluation.model_dump(mode="json")}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def measure(
    title: str, wanted: Sequence[tuple[str, Genome, Protocol]], kept: Kept, workers: int
) -> None:
    """Evaluate what is not kept yet."""
    left = [each for each in wanted if kept.get(each[0], each[1]) is None]
    jobs = [
        Job(genome.id, partial(make_evolved, genome.to_json()), protocol)
        for _, genome, protocol in left
    ]
    console = Console(stderr=True)
    done = evaluate_many(jobs, workers, device="cpu") if jobs else iter(())
    for place, evaluation in track(done, title, total=len(jobs), console=console):
        kept.add(left[place][0], evaluation)


def measure_all(
    candidates: Sequence[Logged],
    protocols: Mapping[str, Protocol],
    lengths: Sequence[tuple[str, int]],
    kept: Kept,
    workers: int,
) -> list[str]:
    """Evaluate all candidates under all protocols; the names under which they are kept."""
    # Candidate by candidate, so that a kill leaves a sample that all of them share.
    measure(
        " and ".join(protocols),
        [
            (name, each.genome, protocol)
            for each in candidates
            for name, protocol in protocols.items()
        ],
        kept,
        workers,
    )
    names = list(protocols)
    for base, steps in lengths:
        if base not in protocols:
            continue
        name = f"{base}, {steps} steps"
        wanted = []
        for each in candidates:
            first = kept.get(base, each.genome)
            if first is not None and first.rate is not None:
                longer = lengthened(protocols[base], steps, first.rate)
                wanted.append((name, each.genome, longer))
        measure(name, wanted, kept, workers)
        names.append(name)
    return names


# --- the table -----------------------------------------------------------------------------------

Scores = dict[str, dict[str, "list[float | None]"]]
"""By protocol and feature, of every candidate."""


def scores(candidates: Sequence[Logged], names: Sequence[str], kept: Kept) -> Scores:
    return {
        name: {
            title: [_feature(feature, kept.get(name, each.genome)) for each in candidates]
            for title, feature in FEATURES.items()
        }
        for name in names
    }


def _feature(feature: Feature, evaluation: Evaluation | None) -> float | None:
    return None if evaluation is None else feature(evaluation)


def rankings(found: Scores) -> dict[tuple[str, str], Values]:
    """Every way to rank: a feature under a protocol, and the mean of the ranks on both tasks."""
    alone = {
        (name, title): ranks(values)
        for name, columns in found.items()
        for title, values in columns.items()
    }
    both = {
        (f"{digits} + {cifar}", title): mean_rank(found[digits][title], found[cifar][title])
        for digits, cifar in (
            ("digits", "cifar"),
            ("digits, paper's shape", "cifar"),
            ("digits, 100 steps", "cifar, 100 steps"),
            ("digits, 1200 steps", "cifar, 1200 steps"),
        )
        if digits in found and cifar in found
        for title in FEATURES
    }
    return alone | both


def controls(candidates: Sequence[Logged]) -> dict[tuple[str, str], Values]:
    """What costs next to nothing: any protocol should rank better than these."""
    load_digits()
    return {
        ("no training", "the trial's accuracy"): ranks(
            [trial(each.genome).accuracy for each in candidates]
        ),
        ("no training", "the formula's shortness"): ranks(
            [-float(len(str(each.genome))) for each in candidates]
        ),
        ("no training", "the integrity check's first rate"): ranks(
            [check_integrity(each.genome).rate for each in candidates]
        ),
    }


def table(every: Mapping[tuple[str, str], Values], truth: Values) -> list[str]:
    design, holdout = slice(0, None, 2), slice(1, None, 2)
    lines = [f"{'protocol':36} {'feature':38} {'design half':22} {'other half':22} all"]
    for (name, title), values in every.items():
        parts = (
            bootstrap(values[part], truth[part]) for part in (design, holdout, slice(None))
        )
        lines.append(f"{name:36} {title:38} " + "  ".join(map(str, parts)))
    return lines


def chosen(every: Mapping[tuple[str, str], Values], truth: Values) -> tuple[str, str]:
    """The way to rank that does best on the design half."""
    design = slice(0, None, 2)
    return max(every, key=lambda key: bootstrap(every[key][design], truth[design], count=1).value)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sample", type=int, default=220, help="candidates of the log (220)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample (0)")
    parser.add_argument("--data", help="folder or zip of CIFAR-10's images; without it digits alone")
    parser.add_argument("--out", type=Path, required=True, help="folder in which results are kept")
    parser.add_argument("--workers", type=int, default=1, help="processes (1)")
    parser.add_argument("--protocols", nargs="*", help="those with a sweep of their own (all)")
    parser.add_argument("--lengths", nargs="*", default=[f"{n}:{s}" for n, s in LENGTHS],
                        help="other lengths, as protocol:steps")
    options = parser.parse_args()
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        sys.exit(f"{FOLDER_VARIABLE} must name a folder with evolved_log.csv")
    torch.set_num_threads(1)
    rows = read_log(Path(folder) / "evolved_log.csv")
    found = trained(rows)
    candidates = sample(found, options.sample, options.seed)
    lengths = [(name, int(steps)) for name, _, steps in (e.partition(":") for e in options.lengths)]
    kept = Kept(options.out)
    protocols = swept(options.data)
    if options.protocols is not None:
        protocols = {name: protocols[name] for name in options.protocols}
    names = measure_all(candidates, protocols, lengths, kept, options.workers)
    report(rows, found, candidates, scores(candidates, names, kept))


def report(rows, found, candidates, measured):  # noqa
    truth = np.array([each.truth for each in candidates], dtype=np.float64)
    deviation = pooled_deviation(list(found.values()))
    most = ceiling(truth, deviation)
    print(f"{len(candidates)} of {len(found)} logged candidates that trained")
    print(f"noise of the log: {100 * deviation:.2f} points; a perfect ranking would reach "
          f"{most.perfect:.2f}, a second evaluation under the paper's fitness {most.repeated:.2f}")
    print(f"the authors' own initial fitness: {bootstrap(*initial_scores(rows))} "
          f"of {len(initial_scores(rows)[0])} particles")
    every = rankings(measured)
    print("\n".join(table(controls(candidates) | every, truth)))
    best = chosen(every, truth)
    default = ("digits", next(iter(FEATURES)))
    other = slice(1, None, 2)
    print(f"chosen on the design half: {best[0]}: {best[1]}")
    print(f"on the other half: {bootstrap(every[best][other], truth[other])}, "
          f"{advantage(every[best][other], every[default][other], truth[other])} more than "
          f"{default[0]}: {default[1]}")


if __name__ == "__main__":
    main()
