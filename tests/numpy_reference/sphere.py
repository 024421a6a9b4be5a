"""The integrity check: does the candidate descend a five-dimensional sphere, whatever its sign?

`options` are those of TensorUpdate: published, a14, mask.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .update import Graph, MomentumType, TensorUpdate

START = (1.1, 0.9, 1.1, 0.9, 1.0)
TARGET = (0.5, 1.5, -0.3, -1.2, 0.75)
STEPS, WARMUP, HOLD = 35, 6, 0
RATES = (1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5)
THRESHOLD = 3.5


@dataclass(frozen=True)
class Trial:
    lr: float
    flip: bool
    loss: float

    @property
    def passes(self) -> bool:
        return self.loss < THRESHOLD


@dataclass(frozen=True)
class Verdict:
    """Trials in the order made; the last one is the passing one, if any passed."""

    trials: tuple[Trial, ...]

    @property
    def passes(self) -> bool:
        return self.trials[-1].passes

    @property
    def flip(self) -> bool:
        """The candidate passes only with its sign flipped."""
        return self.passes and self.trials[-1].flip

    @property
    def pass_lr(self) -> float | None:
        return self.trials[-1].lr if self.passes else None


def sphere_loss(
    graph: Graph,
    momentum_type: MomentumType,
    flip: bool,
    lr: float,
    *,
    dtype: DTypeLike = np.float32,
    **options: Any,
) -> float:
    """Loss seen at the 35th step, before its update: 34 updates made, the first at rate 0."""
    update = TensorUpdate(
        graph,
        momentum_type,
        flip=flip,
        learning_rate=lr,
        total_steps=STEPS,
        warmup=WARMUP,
        hold=HOLD,
        dtype=dtype,
        **options,
    )
    x, target = np.array(START, dtype), np.array(TARGET, dtype)
    with np.errstate(all="ignore"):
        for _ in range(STEPS - 1):
            x = update.step(2 * (x - target), x)
            if np.isnan(x).any():
                return float("nan")  # nothing added to NaN makes it a number again
        return float(np.sum((x - target) ** 2))


def _trials(graph: Graph, momentum_type: MomentumType, **options: Any) -> Iterator[Trial]:
    for flip in (False, True):
        for lr in RATES:
            yield Trial(lr, flip, sphere_loss(graph, momentum_type, flip, lr, **options))


def sphere_losses(
    graph: Graph,
    momentum_type: MomentumType,
    *,
    dtype: DTypeLike = np.float32,
    **options: Any,
) -> tuple[Trial, ...]:
    """All twelve trials in order: falling rates without flip, then the same with flip."""
    return tuple(_trials(graph, momentum_type, dtype=dtype, **options))


def integrity(
    graph: Graph,
    momentum_type: MomentumType,
    *,
    dtype: DTypeLike = np.float32,
    **options: Any,
) -> Verdict:
    """Trials up to the first that passes. Float32 by default: overflow belongs to the result."""
    made = []
    for trial in _trials(graph, momentum_type, dtype=dtype, **options):
        made.append(trial)
        if trial.passes:
            break
    return Verdict(tuple(made))
