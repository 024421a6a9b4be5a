"""The baselines: torch's own optimizers under the base schedule."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from evoptim.config import BaselineName, ScheduleSpec
from evoptim.errors import InputError
from evoptim.optim.baselines import BASELINES, make_baseline
from evoptim.schedule import learning_rate_factors

SCHEDULE = ScheduleSpec(total_steps=12, warmup_steps=3, hold_steps=2)
FACTORS = learning_rate_factors(12, 3, 2)
GRADIENTS = torch.randn(12, 5, generator=torch.Generator().manual_seed(0)).double()
START = torch.linspace(-1, 1, 5).double()
RATE = 0.1


def weights(name: str) -> list[torch.Tensor]:
    """Weights after each of 12 steps."""
    weight = torch.nn.Parameter(START.clone())
    optimizer = make_baseline(name, [weight], RATE, SCHEDULE)
    found = []
    for gradient in GRADIENTS:
        weight.grad = gradient.clone()
        optimizer.step()
        found.append(weight.detach().clone())
    return found


def by_hand(name: str) -> list[torch.Tensor]:
    """The same from the formulas in the table, with the moments as plain variables."""
    weight, found = START.clone(), []
    m, v = torch.zeros(5).double(), torch.zeros(5).double()
    for t, (gradient, factor) in enumerate(zip(GRADIENTS, FACTORS, strict=True), start=1):
        rate = RATE * factor
        if name in ("momentum", "nesterov"):
            m = 0.9 * m + gradient
        elif name in ("adam", "adamw"):
            m = 0.9 * m + 0.1 * gradient
            v = 0.999 * v + 0.001 * gradient**2
        else:
            v = 0.99 * v + 0.01 * gradient**2
        corrected = m / (1 - 0.9**t) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
        weight = {
            "sgd": weight - rate * gradient,
            "momentum": weight - rate * m,
            "nesterov": weight - rate * (gradient + 0.9 * m),
            "rmsprop": weight - rate * gradient / (v.sqrt() + 1e-8),
            "adam": weight - rate * corrected,
            "adamw": (1 - 0.01 * rate) * weight - rate * corrected,
        }[name]
        found.append(weight)
    return found


@pytest.mark.parametrize("name", BASELINES)
def test_each_follows_its_formula_under_the_schedule(name: str) -> None:
    for found, expected in zip(weights(name), by_hand(name), strict=True):
        # Double precision: the order of operations differs.
        assert torch.allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", BASELINES)
def test_the_first_step_of_a_warm_up_has_rate_0(name: str) -> None:
    assert torch.equal(weights(name)[0], START)


@pytest.mark.parametrize("name", BASELINES)
def test_the_last_step_is_the_schedules_last(name: str) -> None:
    weight = torch.nn.Parameter(START.clone())
    optimizer = make_baseline(name, [weight], RATE, SCHEDULE)
    rates = []
    for gradient in GRADIENTS:
        weight.grad = gradient.clone()
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
    assert rates == [RATE * factor for factor in FACTORS]


def test_the_table_is_what_a_configuration_may_name() -> None:
    assert list(BASELINES) == list(get_args(BaselineName))
    assert all(name == row.name for name, row in BASELINES.items())
    assert len({row.label for row in BASELINES.values()}) == 6


def test_another_name_is_refused() -> None:
    with pytest.raises(InputError, match="no baseline 'lion'; choose among sgd, momentum"):
        make_baseline("lion", [torch.zeros(1)], 0.1, SCHEDULE)
