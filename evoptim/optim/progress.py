"""What changes from step to step: base schedule and curves, as one table over training."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from evoptim.schedule import learning_rate_factors, momentum_factor
from evoptim.update import Formula

CONSTANT_MOMENTUM = 0.9
"""The momentum coefficient without a horizon: the mean of the scheduled one."""


@dataclass(frozen=True)
class Horizon:
    """The steps that a schedule spans."""

    total_steps: int | None
    warmup_steps: int
    hold_steps: int
    base_schedule: bool
    """Whether the rate follows the base schedule; without it only the formula's own curve."""


@functools.lru_cache(maxsize=8)
def factor_table(formula: Formula, horizon: Horizon) -> Tensor:
    """Factors of every step, float64 of shape (T, 2 + number of curves); one row without horizon.

    The columns are the rate relative to ``lr``, the momentum coefficient, and the curves.
    """
    total = horizon.total_steps
    if total is None:
        return torch.tensor([[1.0, CONSTANT_MOMENTUM]], dtype=torch.float64)
    shape = (total, horizon.warmup_steps, horizon.hold_steps)
    rates = _column(learning_rate_factors(*shape)) if horizon.base_schedule else torch.ones(total)
    if formula.rate_curve is not None:
        rates = rates * _column(formula.rate_curve.values(total))
    momentum = _column(tuple(momentum_factor(step, *shape) for step in range(total)))
    columns = [
        rates.double(),
        momentum,
        *(_column(curve.values(total)) for curve in formula.curves),
    ]
    return torch.stack(columns, dim=1)


def _column(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)
