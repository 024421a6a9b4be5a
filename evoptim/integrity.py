"""The integrity check: a train-free test that throws out genomes that cannot descend.

A sphere in five dimensions, 35 steps, six rates, both signs; the first rate, without the sign
change before with it, whose loss falls below half the starting loss decides. All twelve
trajectories run at once as rows of one float32 tensor: overflow belongs to the result.

Source: Morgan & Hougen, arXiv 2404.06679, and their program (start, target, threshold).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from evoptim.genome import Genome
from evoptim.schedule import learning_rate_factor, momentum_factor
from evoptim.update import Program, Uniform, compile_genome, move, update_direction

START = (1.1, 0.9, 1.1, 0.9, 1.0)
TARGET = (0.5, 1.5, -0.3, -1.2, 0.75)
RATES = (1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5)
STEPS = 35
WARMUP_STEPS = 6
THRESHOLD = 3.5
"""Of the loss before the last step; it is 7.1525 at the start."""


@dataclass(frozen=True)
class IntegrityResult:
    """The verdict on one genome."""

    passes: bool
    sign: int
    """The sign under which it passes: +1 or -1; +1 where it does not pass."""
    rate: float | None
    """The first rate at which it passes; None where it does not."""
    loss: float | None
    """The sphere's loss at that rate; None where it does not pass."""
    losses: tuple[tuple[int, float, float], ...]
    """(sign, rate, loss) of all twelve trajectories, in the order of the verdict."""


@dataclass(frozen=True)
class _Sphere:
    """Constants of the check, made once."""

    start: Tensor
    target: Tensor
    slope: Tensor
    """-2 target: the gradient is 2 w - 2 target, which rounds as 2 (w - target) does."""
    rates: dict[int, tuple[Tensor, ...]]
    """Signed rates of every lane, by the sign of the canonical form and by step."""
    coefficients: tuple[Tensor, ...]


@functools.lru_cache(maxsize=1)
def _sphere() -> _Sphere:
    lanes = _float32([[-sign * rate] for sign in (1, -1) for rate in RATES])
    factors = [learning_rate_factor(step, STEPS, WARMUP_STEPS, 0) for step in range(STEPS)]
    return _Sphere(
        start=_float32(START).repeat(len(lanes), 1),
        target=_float32(TARGET),
        slope=-2.0 * _float32(TARGET),
        rates={sign: tuple(sign * lanes * factor for factor in factors) for sign in (1, -1)},
        coefficients=_float32(
            [momentum_factor(step, STEPS, WARMUP_STEPS, 0) for step in range(STEPS)]
        ).unbind(),
    )


def _decays(program: Program) -> list[tuple[Tensor, ...]]:
    """The factors of every decay function, ``[step][decay]``, without dimensions."""
    columns = [_float32(decay.values(STEPS)).unbind() for decay in program.decays]
    return list(zip(*columns, strict=True)) or [()] * STEPS


# Whatever the caller's default type is: the verdicts are those of float32.
def _float32(values: Sequence[object]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


def check_integrity(genome: Genome | str, seed: int = 0) -> IntegrityResult:
    """Decide whether ``genome`` can descend, with which sign, and at which rate.

    The genome's own sign plays no part. ``seed`` matters only to genomes with dropout.

    Raises:
        GenomeError: ``genome`` is a text that is no genome.
    """
    if isinstance(genome, str):
        genome = Genome.parse(genome)
    # A leading negation moves into the canonical form's sign, so the check starts from there.
    program = compile_genome(genome.with_sign(1))
    sphere = _sphere()
    weight = sphere.start.clone()
    state: dict[str, Tensor] = {}
    decays = _decays(program)
    rates = sphere.rates[program.sign]
    draw = uniform_source(seed)
    with torch.inference_mode():
        for step in range(STEPS - 1):
            gradient = torch.add(sphere.slope, weight, alpha=2.0)
            update = update_direction(
                program, gradient, weight, state, step + 1, decays[step], (-1,), draw
            )
            move(program.momentum, weight, update, rates[step], sphere.coefficients[step], state)
        losses: list[float] = (weight - sphere.target).square().sum(-1).tolist()
    lanes = [(sign, rate) for sign in (1, -1) for rate in RATES]
    rows = tuple((sign, rate, loss) for (sign, rate), loss in zip(lanes, losses, strict=True))
    for sign, rate, loss in rows:
        if loss < THRESHOLD:
            return IntegrityResult(True, sign, rate, loss, rows)
    return IntegrityResult(False, 1, None, None, rows)


def uniform_source(seed: int) -> Uniform:
    """Random numbers of which each node has a generator of its own, addressed by ``seed``."""
    generators: dict[int, torch.Generator] = {}

    def draw(node: int, like: Tensor) -> Tensor:
        if node not in generators:
            generators[node] = torch.Generator().manual_seed(seed * 8 + node)
        return torch.rand(like.shape, generator=generators[node])

    return draw
