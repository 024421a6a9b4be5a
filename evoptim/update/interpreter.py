"""Runs a program on one weight tensor: gradient in, update out.

This is the readable reference of what a genome computes. The optimizer runs it on every weight
tensor, the integrity check on many copies of one small problem at once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from evoptim.genome import Momentum
from evoptim.genome.state import memory_slot
from evoptim.operands import BETAS, POWERS, Average, Signals
from evoptim.operators import UnaryOperator
from evoptim.update.program import Program

Uniform = Callable[[int, Tensor], Tensor]
"""(node, like) -> uniform numbers in [0, 1) of the shape of ``like``."""


@dataclass(slots=True)
class NodeSite:
    """Where a node is applied in one step; see :class:`evoptim.operators.Site`."""

    state: MutableMapping[str, Tensor]
    count: int
    dims: tuple[int, ...]
    draw: Uniform
    node: int = field(default=0)

    def memory(self, like: Tensor) -> Tensor:
        return slot(self.state, memory_slot(self.node), like)

    def uniform(self, like: Tensor) -> Tensor:
        return self.draw(self.node, like)


def slot(state: MutableMapping[str, Tensor], name: str, like: Tensor) -> Tensor:
    """The state tensor called ``name``, made of zeros at its first use."""
    if name not in state:
        state[name] = torch.zeros_like(like)
    return state[name]


def update_direction(
    program: Program,
    gradient: Tensor,
    weight: Tensor,
    state: MutableMapping[str, Tensor],
    count: int,
    decays: Sequence[float | Tensor],
    dims: tuple[int, ...],
    draw: Uniform,
) -> Tensor:
    """The update u of one step.

    Args:
        program: The compiled genome.
        gradient: Gradient of the weights, any shape.
        weight: The weights, same shape.
        state: Tensors kept between steps; missing ones are made, those there change in place.
        count: Number of gradients seen, this one included.
        decays: This step's factor of every decay function of the program, as numbers or as
            tensors without dimensions.
        dims: Dimensions that make up one weight tensor.
        draw: Source of uniform random numbers, by node.

    Returns:
        u, same shape. It may share memory with the inputs: do not change it in place.
    """
    averages = {name: average(name, gradient, state) for name in program.averages}
    signals = Signals(gradient, weight, averages, count)
    site = NodeSite(state, count, dims, draw)

    def apply(node: int, operator: UnaryOperator, x: Tensor) -> Tensor:
        site.node = node
        return operator.apply(x, site)

    return combine(program, [each.value(signals) for each in program.operands], decays, apply)


def combine(
    program: Program,
    operands: Sequence[Tensor],
    decays: Sequence[float | Tensor],
    apply: Callable[[int, UnaryOperator, Tensor], Tensor],
) -> Tensor:
    """The update u from the values of the program's operands.

    Args:
        program: The compiled genome.
        operands: Their values, of one shape.
        decays: The factor of every decay function, numbers or tensors that broadcast.
        apply: (node, operator, input) -> output of a unary operator, which may keep state.

    Returns:
        u, same shape; it may share memory with the operands.
    """
    values = list(operands)
    for node, instruction in enumerate(program.instructions):
        operator, places, factors = instruction.operator, instruction.inputs, instruction.decays
        first = values[places[0]]
        if factors[0] is not None:
            first = first * decays[factors[0]]
        if isinstance(operator, UnaryOperator):
            values.append(apply(node, operator, first))
            continue
        second = values[places[1]]
        if factors[1] is not None:
            second = second * decays[factors[1]]
        values.append(operator.apply(first, second))
    return values[-1]


def average(name: Average, gradient: Tensor, state: MutableMapping[str, Tensor]) -> Tensor:
    """The moving average called ``name``, this gradient included."""
    power = POWERS[name]
    signal = gradient if power == 1 else gradient.pow(power)
    # Not lerp: where an average has overflowed it must stay infinite rather than become NaN.
    kept = slot(state, name, gradient).mul_(constant(BETAS[name], gradient.dtype))
    return kept.add_(signal, alpha=1.0 - BETAS[name])


@functools.lru_cache(maxsize=64)
def constant(value: float, dtype: torch.dtype) -> Tensor:
    """``value`` as a tensor without dimensions, to be combined with tensors of ``dtype``.

    On small tensors a Python number costs three times the arithmetic itself. Half precision keeps
    a float32 factor: rounded to bfloat16, 0.999 would be 1.
    """
    return torch.tensor(value, dtype=torch.float64 if dtype == torch.float64 else torch.float32)


def move(
    momentum: Momentum,
    weight: Tensor,
    update: Tensor,
    rate: float | Tensor,
    coefficient: float | Tensor,
    state: MutableMapping[str, Tensor],
) -> None:
    """Change ``weight`` in place by one step of ``update``.

    Args:
        momentum: How the update turns into movement (:class:`evoptim.genome.Momentum`).
        weight: The weights.
        update: u, same shape.
        rate: The *signed* rate that multiplies u: -sign * eta, a number or a tensor that
            broadcasts.
        coefficient: mu, a number or a tensor without dimensions.
        state: Holds the momentum buffer.
    """
    if momentum is Momentum.NONE:
        _add_scaled(weight, update, rate)
        return
    buffer = slot(state, "momentum", weight).mul_(coefficient)
    _add_scaled(buffer, update, rate)
    weight.add_(buffer)
    if momentum is Momentum.NESTEROV:
        _add_scaled(weight, update, rate)


def _add_scaled(into: Tensor, update: Tensor, rate: float | Tensor) -> None:
    if isinstance(rate, float):
        into.add_(update, alpha=rate)
    else:
        into.addcmul_(update, rate)
