"""The base schedule: rate and momentum, worked out by hand and against the NumPy evaluation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy_reference import learning_rates, momenta

from evoptim.schedule import learning_rate_factor, learning_rate_factors, momentum_factor


def test_rate_ramps_holds_and_falls() -> None:
    # T = 8, two steps of warm-up, one of hold: ramp 0, 1/2; peak at 2 and 3; then the cosine over
    # 5 steps, (1 + cos(pi k/5))/2.
    want = [0.0, 0.5, 1.0, 1.0, 0.9045085, 0.6545085, 0.3454915, 0.0954915]
    assert learning_rate_factors(8, 2, 1) == pytest.approx(want)


def test_momentum_goes_the_other_way() -> None:
    want = [0.95, 0.85, 0.85, 0.85, 0.875, 0.9, 0.925, 0.95]
    assert [momentum_factor(step, 8, 2, 1) for step in range(8)] == pytest.approx(want)


def test_without_warm_up_the_first_step_has_the_peak_rate() -> None:
    assert learning_rate_factor(0, 5, 0, 0) == 1.0
    assert momentum_factor(0, 5, 0, 0) == 0.85


def test_a_schedule_of_one_step() -> None:
    assert learning_rate_factors(1, 0, 0) == (1.0,)
    assert momentum_factor(0, 1, 0, 0) == 0.85


@given(st.integers(0, 20), st.integers(0, 20), st.integers(1, 40))
def test_any_schedule_agrees_with_numpy(warmup: int, hold: int, rest: int) -> None:
    total = warmup + hold + rest
    rates = learning_rate_factors(total, warmup, hold)
    assert np.allclose(rates, learning_rates(1.0, total, warmup, hold), atol=1e-12)
    factors = [momentum_factor(step, total, warmup, hold) for step in range(total)]
    assert np.allclose(factors, momenta(total, warmup, hold), atol=1e-12)
    assert max(rates) == 1.0
    assert min(rates) >= 0.0
