"""Exported files as modules, and trainings to compare them by."""

from __future__ import annotations

import types
from collections.abc import Callable
from random import Random
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer

from evoptim import Genome, zoo
from evoptim.config import SamplingProbabilities
from evoptim.exporter import Subject, genome_subject, source, zoo_subject
from evoptim.optim import EvolvedOptimizer
from evoptim.sampling import sample_genome

STEPS = 200
SCHEDULE: dict[str, Any] = {"total_steps": STEPS, "warmup_steps": 10, "hold_steps": 20}
SHAPES = ((7, 5), (3,), (), (2, 3, 4), (33,))
# Twice as many decays as in a search, so that most genomes have some.
_RICH = SamplingProbabilities(edge_decay=0.4)
ZOO = [(name, decay) for name in zoo.names() for decay in (False, True)]


EVERYTHING = "Nest ~ (expMovAvg([max(a6, a10)][g]))+(drop(deltaChange(MaxValue(s hat)), 0.3))"


def genomes(count: int) -> list[Genome]:
    """``count`` random genomes of both signs, after one that has all kinds of memory."""
    drawn = (sample_genome(Random(seed), _RICH) for seed in range(count))
    signed = (genome.with_sign(1 if seed % 2 else -1) for seed, genome in enumerate(drawn))
    return [Genome.parse(EVERYTHING), *signed]


def subjects(random_genomes: int) -> list[tuple[Subject, Callable[..., Optimizer]]]:
    """Everything of the zoo and some genomes, each with what makes evoptim's own optimizer."""

    def from_zoo(name: str, decay: bool) -> Callable[..., Optimizer]:
        return lambda params, **options: zoo.create(name, params, decay=decay, **options)

    def from_genome(genome: Genome) -> Callable[..., Optimizer]:
        return lambda params, **options: EvolvedOptimizer(params, genome, **options)

    return [
        *((zoo_subject(*each), from_zoo(*each)) for each in ZOO),
        *((genome_subject(genome), from_genome(genome)) for genome in genomes(random_genomes)),
    ]


def load(subject: Subject, target: str = "torch") -> Any:
    """What the exported file defines: a class or a function."""
    text = source(subject, target)
    module = types.ModuleType("exported")
    exec(compile(text, f"{subject.name}.py", "exec"), vars(module))  # written by evoptim itself
    return getattr(module, module.__all__[0])


def weights(dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Some tensors of several shapes, one of them not contiguous."""
    generator = torch.Generator().manual_seed(0)
    made = [torch.randn(shape, generator=generator).to(dtype) for shape in SHAPES]
    made[0] = torch.randn(5, 7, generator=generator).to(dtype).t()
    return [each.requires_grad_() for each in made]


def train(
    make: Callable[[list[Tensor]], Optimizer],
    dtype: torch.dtype = torch.float32,
    steps: int = STEPS,
) -> tuple[list[list[Tensor]], Optimizer]:
    """The weights after every step, on gradients that do not depend on them.

    One tensor has no gradient at every third step.
    """
    params = weights(dtype)
    optimizer = make(params)
    generator = torch.Generator().manual_seed(1)
    rows = []
    for step in range(steps):
        for place, weight in enumerate(params):
            gradient = torch.randn(weight.shape, generator=generator).to(dtype)
            weight.grad = None if place == 1 and step % 3 == 0 else gradient
        optimizer.step()
        rows.append([weight.detach().clone() for weight in params])
    return rows, optimizer


def first_difference(one: list[list[Tensor]], other: list[list[Tensor]]) -> int | None:
    """The first step after which any bit differs; NaN equals NaN."""

    def same(x: Tensor, y: Tensor) -> bool:
        return bool(torch.equal(x.isnan(), y.isnan())) and torch.equal(
            x.nan_to_num(nan=0.0), y.nan_to_num(nan=0.0)
        )

    for step, (row, twin) in enumerate(zip(one, other, strict=True)):
        if not all(same(x, y) for x, y in zip(row, twin, strict=True)):
            return step
    return None
