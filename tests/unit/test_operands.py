"""Every operand against the NumPy evaluation, and the averages that each declares."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy_reference import OPERANDS as NUMPY_OPERANDS
from numpy_reference import MovingAverages

from evoptim.operands import BETAS, OPERANDS, POWERS, Average, Operand, Signals

STEPS = 8


def test_there_are_20_operands_in_the_order_of_the_columns() -> None:
    assert list(OPERANDS) == [name for name, _ in NUMPY_OPERANDS]
    assert len(OPERANDS) == 20


@pytest.mark.parametrize("operand", OPERANDS.values(), ids=lambda row: row.name)
def test_value_needs_only_the_averages_it_declares(operand: Operand) -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(3, 2))
    function = dict(NUMPY_OPERANDS)[operand.name]
    reference = MovingAverages()
    averages: dict[Average, torch.Tensor] = {
        name: torch.zeros(3, 2, dtype=torch.float64) for name in operand.averages
    }
    for step in range(1, STEPS + 1):
        gradient = rng.normal(size=(3, 2))
        gradient[0, 0] = 0.0
        reference.update(gradient)
        for name, average in averages.items():
            power = torch.tensor(gradient) ** POWERS[name]
            averages[name] = BETAS[name] * average + (1 - BETAS[name]) * power
        got = operand.value(Signals(torch.tensor(gradient), torch.tensor(weight), averages, step))
        want = function(gradient, weight, reference)
        assert np.allclose(got.numpy(), want, rtol=1e-9, atol=1e-12)
