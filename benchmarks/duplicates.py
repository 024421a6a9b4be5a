"""How many candidates compute the same update as an earlier one, and what it takes to know.

Two populations: genomes as a search proposes them (random ones that pass the integrity check, then
mutants of mutants), and the distinct formulas of the authors' log in its order, each with the sign
that the integrity check gives it. Some of the pairs that share a fingerprint are trained under the
quickstart's protocol, both of them: do their learning curves agree?

    [EVOPTIM_REFERENCE_DIR=…] python benchmarks/duplicates.py [--count 2000] [--pairs 4]

The folder holds ``evolved_log.csv`` (momentum, expression); without it the log is left out.
"""

from __future__ import annotations

import argparse
import csv
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from statistics import median

import torch
from rich.console import Console
from rich.progress import track

from evoptim.config import MutationProbabilities, SamplingProbabilities
from evoptim.config.presets import quickstart_protocol
from evoptim.evolution import OptimizerGene
from evoptim.fingerprint import difference, fingerprint
from evoptim.genome import Genome
from evoptim.integrity import check_integrity
from evoptim.records import Evaluation
from evoptim.steps.evaluate import make_evolved
from evoptim.tasks import load_task
from evoptim.training import evaluate

FOLDER_VARIABLE = "EVOPTIM_REFERENCE_DIR"
GENERATION = 100
"""Every so many mutants the parents are the last ones."""


@dataclass(frozen=True)
class Pair:
    first: Genome
    second: Genome


@dataclass(frozen=True)
class Found:
    """What fingerprints say of a population."""

    genomes: int
    without: int
    """Genomes that have no fingerprint."""
    pairs: tuple[Pair, ...]
    """Every duplicate with the first genome that computes the same."""
    milliseconds: float
    """Core time of one fingerprint."""


def find(genomes: Sequence[Genome]) -> Found:
    fingerprint(genomes[0])
    began = time.process_time()
    found = [fingerprint(each) for each in genomes]
    took = time.process_time() - began
    firsts: dict[str, Genome] = {}
    pairs = []
    for genome, halves in zip(genomes, found, strict=True):
        if halves is None:
            continue
        known = [firsts[half] for half in halves.split("-") if half in firsts]
        if known:
            pairs.append(Pair(known[0], genome))
        else:
            firsts.update(dict.fromkeys(halves.split("-"), genome))
    return Found(len(genomes), found.count(None), tuple(pairs), 1e3 * took / len(genomes))


def proposed(count: int) -> Iterator[Genome]:
    """``count`` random genomes, then as many mutants, all different."""
    gene, rng = OptimizerGene(SamplingProbabilities(), MutationProbabilities()), Random(0)
    seen: set[str] = set()

    def admitted(draw: Iterable[Genome]) -> Iterator[Genome]:
        for value in draw:
            entered = gene.admit(value)
            if entered is not None and entered[0].id not in seen:
                seen.add(entered[0].id)
                yield entered[0]

    parents = []
    for genome in admitted(iter(lambda: gene.sample(rng), None)):
        parents.append(genome)
        yield genome
        if len(parents) == count:
            break
    brood: list[Genome] = []
    parents = parents[:GENERATION]
    for _ in range(count):
        parent = rng.choice(parents)
        brood.append(next(admitted(iter(lambda p=parent: gene.mutate(p, rng)[0], None))))  # type: ignore[misc]
        yield brood[-1]
        if len(brood) == GENERATION:
            parents, brood = brood, []


def logged(folder: Path) -> Iterator[Genome]:
    """The distinct formulas of the log that pass the integrity check."""
    with (folder / "evolved_log.csv").open(encoding="utf-8", newline="") as file:
        texts = dict.fromkeys(
            f"{row['momentum']} ~ {row['expression']}"
            for row in csv.DictReader(file)
            if row["expression"]
        )
    seen = set()
    for text in texts:
        genome = Genome.parse(text)
        result = check_integrity(genome)
        genome = genome.with_sign(result.sign)
        if result.passes and genome.id not in seen:
            seen.add(genome.id)
            yield genome


def train(genome: Genome) -> Evaluation:
    protocol = quickstart_protocol()
    make = partial(make_evolved, genome.to_json())
    return evaluate(genome.id, make, protocol, load_task(protocol.task), device="cpu")


def curve(record: Evaluation) -> list[float]:
    """The accuracies of probes and trainings, in order."""
    found = [value for probe in record.probes for value in probe.accuracies]
    return found + [e.validation_accuracy for each in record.trainings for e in each.curve]


def compare(pair: Pair) -> str:
    one, other = train(pair.first), train(pair.second)
    first, second = curve(one), curve(other)
    if len(first) == len(second):
        gap = max((abs(a - b) for a, b in zip(first, second, strict=True)), default=0.0)
        apart = f"largest gap of {len(first)} accuracies {gap:.4f}"
    else:
        apart = f"{len(first)} and {len(second)} epochs"
    return (
        f"  {pair.first}\n  {pair.second}\n"
        f"    {one.outcome.value} {one.fitness}, {other.outcome.value} {other.fitness}; {apart}"
    )


def say(title: str, found: Found, pairs: int) -> None:
    gaps = [difference(each.first, each.second) for each in found.pairs]
    print(
        f"{title}: {len(found.pairs)} of {found.genomes} are duplicates "
        f"({len(found.pairs) / found.genomes:.1%}); {found.without} draw random numbers or "
        f"overflow; {found.milliseconds:.2f} ms a fingerprint"
    )
    if gaps:
        print(
            f"  difference of a pair's updates, relative: median {median(gaps):.1e}, "
            f"largest {max(gaps):.1e}"
        )
    for pair in found.pairs[:: max(1, len(found.pairs) // pairs)][:pairs] if pairs else ():
        print(compare(pair), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=2_000, help="random genomes, and mutants")
    parser.add_argument("--pairs", type=int, default=4, help="pairs to train, of each population")
    options = parser.parse_args()
    torch.set_num_threads(1)
    console = Console(stderr=True)
    total = 2 * options.count
    drawn = list(track(proposed(options.count), "drawing genomes", total=total, console=console))
    say("random", find(drawn[: options.count]), options.pairs)
    say("random and mutants", find(drawn), 0)
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        print(f"the authors' log is left out: {FOLDER_VARIABLE} names no folder")
        return
    say("the authors' log", find(list(logged(Path(folder)))), options.pairs)


if __name__ == "__main__":
    main()
