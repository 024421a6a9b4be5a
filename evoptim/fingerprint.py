"""A fingerprint of what a genome computes: formulas of the same update share it.

Whatever reaches a weight passes through the update u: its rate and its momentum are applied to u
alike for all genomes. So two genomes train alike if they have the same kind of momentum and, for
any history of gradients and weights, the same *signed* update. Both are put through one fixed
history, the probe: ten weight tensors whose gradients have ten scales, from 1e-6 to 10, with zeros,
spikes, changes of sign and weights of several scales, over forty moments of a whole schedule. The
decay functions take the values that they have at those moments. As gradients and weights do not
depend on the genome, all moments are computed at once, in float64.

The update of every tensor at every moment, relative to its largest element, and the logarithm of
that element are projected onto a few random directions. Rounded on two grids, half a cell apart,
they give the two halves of the fingerprint: rounding errors, some 1e-15 of the values, can part
equal updates on one grid, but hardly on both. Genomes with an equal half compute the same update,
up to about :data:`GRID`. Two that differ by a constant factor do not: rates are a fixed grid.
"""

from __future__ import annotations

import functools
import hashlib
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from evoptim.genome import Genome
from evoptim.operands import OPERANDS, POWERS, Signals
from evoptim.operators import UnaryOperator
from evoptim.update import NodeSite, Program, average, combine, compile_genome

STEPS = 40
"""Moments of the probe."""
TOTAL_STEPS = 400
"""Steps of the schedule that they are taken from."""
GRADIENT_SCALES = (1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 0.1, 1.0, 10.0)
WEIGHT_SCALES = (0.3, 1.0, 0.03, 1.0, 1.0, 3.0, 0.1, 30.0, 1.0, 0.3)
"""One for each weight tensor, as those of the gradients."""
ELEMENTS = 16
"""Of each weight tensor."""
GRID = 1e-7
"""Differences of about this size (root mean square, each relative to the largest element of its
update) are seen: the precision of float32, in which trainings run."""
LEAST_FINITE = 2 / 3
"""A genome whose update overflows more often than not has no fingerprint: it tells too little."""

_DIRECTIONS = 8
_OFFSETS = (0.25, 0.75)


@dataclass(frozen=True)
class _Probe:
    """What every genome is put through, made once."""

    operands: dict[str, Tensor]
    """STEPS x tensors x elements, of every operand."""
    weights: Tensor
    """Likewise."""
    moments: tuple[int, ...]
    """Ascending steps of the schedule, the first and the last among them."""
    directions: Tensor
    """Values of the trajectory x directions."""


@functools.lru_cache(maxsize=1)
def _probe() -> _Probe:
    rng = torch.Generator().manual_seed(0)
    shape = (STEPS, len(GRADIENT_SCALES), ELEMENTS)

    def normal(*sizes: int) -> Tensor:
        return torch.randn(sizes, generator=rng, dtype=torch.float64)

    gradients, weights = _gradients(normal(*shape), normal(*shape[1:])), _weights(normal(*shape))
    rows: dict[str, list[Tensor]] = {name: [] for name in OPERANDS}
    state: dict[str, Tensor] = {}
    for step in range(STEPS):
        averages = {name: average(name, gradients[step], state) for name in POWERS}
        signals = Signals(gradients[step], weights[step], averages, step + 1)
        for name, operand in OPERANDS.items():
            rows[name].append(operand.value(signals).clone())
    inner = torch.randperm(TOTAL_STEPS - 2, generator=rng)[: STEPS - 2] + 1
    values = STEPS * len(GRADIENT_SCALES) * (ELEMENTS + 1)
    return _Probe(
        operands={name: torch.stack(each) for name, each in rows.items()},
        weights=weights,
        moments=(0, *sorted(inner.tolist()), TOTAL_STEPS - 1),
        directions=normal(values, _DIRECTIONS) / math.sqrt(values),
    )


def _gradients(noise: Tensor, lean: Tensor) -> Tensor:
    """Gradients that lean to one side, so that averages have something to say, and swell and ebb.

    The first element has none at first, the second one never in every other tensor, the third one
    changes its sign at every step, the next two have a spike each; the fourth tensor has no
    gradient for a while.
    """
    swell = 1.0 + 0.7 * torch.linspace(0.0, 9.0, STEPS, dtype=torch.float64).sin()
    gradients = (noise + 0.8 * lean) * swell[:, None, None]
    gradients[: STEPS // 4, :, 0] = 0.0
    gradients[:, ::2, 1] = 0.0
    gradients[:, :, 2] = gradients[:, :, 2].abs()
    gradients[::2, :, 2] *= -1.0
    gradients[STEPS // 3, :, 3] = 10.0
    gradients[2 * STEPS // 3, :, 4] = -10.0
    gradients[STEPS // 2 : STEPS // 2 + 4, 3] = 0.0
    return gradients * torch.tensor(GRADIENT_SCALES, dtype=torch.float64)[:, None]


def _weights(noise: Tensor) -> Tensor:
    """Random walks; the last element begins at 0, as biases do."""
    walks = noise.cumsum(0) / math.sqrt(STEPS) + noise[:1]
    walks[..., -1] -= walks[0, :, -1].clone()
    return walks * torch.tensor(WEIGHT_SCALES, dtype=torch.float64)[:, None]


def fingerprint(genome: Genome) -> str | None:
    """What ``genome`` computes, as two hashes: ``<16 hexadecimal digits>-<16 of them>``.

    Returns:
        None where the genome draws random numbers, so that no two trainings are the same, or where
        its update overflows at most of the probe.
    """
    updates = signed_updates(genome)
    if updates is None:
        return None
    finite = updates.isfinite()
    if not bool(finite.all()):
        if float(finite.double().mean()) < LEAST_FINITE:
            return None
        # Where it overflows is a part of what it does.
        updates = updates.nan_to_num(0.0, 0.0, 0.0)
    scale = updates.abs().amax(-1, keepdim=True)
    shares = updates / scale.clamp(min=1e-300)
    if not bool(finite.all()):
        shares = shares.where(finite, 2.0)
    values = torch.cat((shares, scale.clamp(min=1e-300).log()), dim=-1).flatten()
    places = (values @ _probe().directions / GRID).tolist()
    grids = ([math.floor(place + offset) for place in places] for offset in _OFFSETS)
    return "-".join(_digest(genome, cells) for cells in grids)


def _digest(genome: Genome, cells: list[int]) -> str:
    return hashlib.sha256(f"{genome.momentum.name} {cells}".encode()).hexdigest()[:16]


def signed_updates(genome: Genome) -> Tensor | None:
    """The signed update, sign * u, over the probe: steps x tensors x elements, float64.

    None where the genome draws random numbers.
    """
    program = compile_genome(genome)
    if program.stochastic:
        return None
    probe = _probe()
    operands = [probe.operands[each.name] for each in program.operands]
    decays = _decays(program, probe.moments)
    with torch.inference_mode():
        return program.sign * combine(program, operands, decays, _over_time)


def _decays(program: Program, moments: tuple[int, ...]) -> list[Tensor]:
    curves = [decay.values(TOTAL_STEPS) for decay in program.decays]
    return [
        torch.tensor([curve[t] for t in moments], dtype=torch.float64)[:, None, None]
        for curve in curves
    ]


def _over_time(node: int, operator: UnaryOperator, x: Tensor) -> Tensor:
    """A unary operator at all moments at once; one that keeps state, moment by moment."""
    state: dict[str, Tensor] = {}
    if not operator.stateful:
        return operator.apply(x, NodeSite(state, 0, (-1,), _no_draws, node))
    steps = (
        operator.apply(each, NodeSite(state, count, (-1,), _no_draws, node))
        for count, each in enumerate(x.unbind(), start=1)
    )
    return torch.stack(list(steps))


def _no_draws(node: int, like: Tensor) -> Tensor:
    raise AssertionError(f"node {node} draws {like.shape} random numbers, but is not stochastic")


def difference(one: Genome, other: Genome) -> float:
    """The largest difference of two genomes' updates over the probe, relative to the update's
    largest element in that tensor at that moment; infinite where one cannot stand for the other.
    """
    a, b = signed_updates(one), signed_updates(other)
    if a is None or b is None or one.momentum is not other.momentum:
        return math.inf
    finite = a.isfinite()
    if not torch.equal(finite, b.isfinite()):
        return math.inf
    a, b = a.nan_to_num(0.0, 0.0, 0.0), b.nan_to_num(0.0, 0.0, 0.0)
    scale = torch.maximum(a.abs().amax(-1, keepdim=True), b.abs().amax(-1, keepdim=True))
    return float(((a - b).abs() / scale.clamp(min=1e-300)).max())
