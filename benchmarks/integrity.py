"""Genomes a second through the integrity check, on one core.

Baseline, in the same run: the straightforward way, one training of the sphere after the other for
every rate and sign until one passes.

    python benchmarks/integrity.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from evoptim.config import SamplingProbabilities
from evoptim.genome import Genome
from evoptim.integrity import (
    RATES,
    START,
    STEPS,
    TARGET,
    THRESHOLD,
    WARMUP_STEPS,
    check_integrity,
)
from evoptim.optim import EvolvedOptimizer
from evoptim.sampling import generator, sample_genome

GENOMES = 400
REPEATS = 7
BAR = 500


def one_by_one(genome: Genome) -> bool:
    target = torch.tensor(TARGET)
    for sign in (1, -1):
        for rate in RATES:
            weight = torch.nn.Parameter(torch.tensor(START))
            optimizer = EvolvedOptimizer(
                [weight],
                genome.with_sign(sign),
                lr=rate,
                total_steps=STEPS,
                warmup_steps=WARMUP_STEPS,
            )
            for _ in range(STEPS - 1):
                optimizer.zero_grad()
                (weight - target).square().sum().backward()
                optimizer.step()
            if (weight - target).square().sum().item() < THRESHOLD:
                return True
    return False


def rate(work: Callable[[list[Genome]], object], genomes: list[Genome]) -> float:
    start = time.perf_counter()
    work(genomes)
    return len(genomes) / (time.perf_counter() - start)


def main() -> None:
    torch.set_num_threads(1)
    how = SamplingProbabilities()
    genomes = [sample_genome(generator("benchmark", i), how) for i in range(GENOMES)]
    check = [rate(lambda gs: [check_integrity(g) for g in gs], genomes) for _ in range(REPEATS)]
    both = [
        rate(
            lambda gs, r=repeat: [  # type: ignore[misc]
                check_integrity(sample_genome(generator("both", r, i), how)) for i in range(len(gs))
            ],
            genomes,
        )
        for repeat in range(REPEATS)
    ]
    slow = [rate(lambda gs: [one_by_one(g) for g in gs], genomes[:40]) for _ in range(3)]
    passing = sum(check_integrity(genome).passes for genome in genomes) / GENOMES
    print(f"random genomes that pass: {passing:.1%} of {GENOMES}")
    for name, values in (("check", check), ("sample and check", both), ("one by one", slow)):
        print(
            f"{name:18} {statistics.median(values):8.0f} genomes/s  "
            f"(median of {len(values)}; {min(values):.0f} to {max(values):.0f})"
        )
    print(f"bar {BAR}/s: {'met' if statistics.median(both) >= BAR else 'MISSED'}")
    print(f"vectorised over one by one: {statistics.median(check) / statistics.median(slow):.1f}x")


if __name__ == "__main__":
    main()
