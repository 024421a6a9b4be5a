"""Learning rate (linear warmup, hold, cosine) and momentum over t = 0..T-1, in float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]


def learning_rates(rate: float, total_steps: int, warmup: int, hold: int = 0) -> Float64:
    """eta_t; the first one is 0 when there is a warmup. During the hold it stays at `rate`."""
    t = np.arange(total_steps, dtype=np.float64)
    after = t - warmup - hold
    cosine = rate / 2 * (1 + np.cos(np.pi * after / (total_steps - warmup - hold)))
    ramp = rate * t / max(warmup, 1)
    return np.where(t < warmup, ramp, np.where(after <= 0, rate, cosine))


def momenta(total_steps: int, warmup: int, hold: int = 0) -> Float64:
    """mu_t: 0.95 down to 0.85 over the warmup, 0.85 during the hold, back up to 0.95 at the end."""
    return np.concatenate(
        [
            np.linspace(0.95, 0.85, warmup),
            np.full(hold, 0.85),
            np.linspace(0.85, 0.95, total_steps - warmup - hold),
        ]
    )
