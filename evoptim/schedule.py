"""The schedules that every candidate is trained under: learning rate and momentum.

Source: Morgan & Hougen, arXiv 2404.06679: linear warm-up, hold, half a cosine down to 0; momentum
runs the other way, 0.95 to 0.85 and back.
"""

from __future__ import annotations

import math

MOMENTUM_HIGH = 0.95
MOMENTUM_LOW = 0.85


def learning_rate_factor(step: int, total_steps: int, warmup_steps: int, hold_steps: int) -> float:
    """The rate at ``step`` (from 0) relative to the peak rate, in [0, 1].

    The first step of a warm-up has rate 0, as in the paper's program.
    """
    if step < warmup_steps:
        return step / warmup_steps
    start = warmup_steps + hold_steps
    if step <= start:
        return 1.0
    return 0.5 * (1.0 + math.cos(math.pi * (step - start) / (total_steps - start)))


def learning_rate_factors(
    total_steps: int, warmup_steps: int, hold_steps: int
) -> tuple[float, ...]:
    """:func:`learning_rate_factor` of every step."""
    return tuple(
        learning_rate_factor(step, total_steps, warmup_steps, hold_steps)
        for step in range(total_steps)
    )


def momentum_factor(step: int, total_steps: int, warmup_steps: int, hold_steps: int) -> float:
    """The momentum coefficient at ``step`` (from 0).

    Equally spaced from 0.95 to 0.85 over the warm-up, 0.85 during the hold, equally spaced from
    0.85 to 0.95 over the rest, ends included.
    """
    if step < warmup_steps:
        return _spaced(step, warmup_steps, MOMENTUM_HIGH, MOMENTUM_LOW)
    start = warmup_steps + hold_steps
    if step < start:
        return MOMENTUM_LOW
    return _spaced(step - start, total_steps - start, MOMENTUM_LOW, MOMENTUM_HIGH)


def _spaced(index: int, count: int, first: float, last: float) -> float:
    return first if count == 1 else first + (last - first) * index / (count - 1)
