"""The twenty operands and the moving averages behind them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]


def _divided(average: Array, correction: float) -> Array:
    return average / correction


@dataclass
class MovingAverages:
    """Averages of g, g^2 and g^3 for one weight tensor, zero before the first gradient."""

    # A plain 0.0 takes the gradient's dtype at the first update.
    v: Any = 0.0
    s: Any = 0.0
    l: Any = 0.0  # noqa: E741 - the averages keep their letters
    count: int = 0

    def update(self, g: Array) -> None:
        self.v = 0.9 * self.v + 0.1 * g
        self.s = 0.99 * self.s + 0.01 * g**2
        self.l = 0.999 * self.l + 0.001 * (g * g * g)
        self.count += 1

    @property
    def v_hat(self) -> Array:
        return _divided(self.v, 1 - 0.9**self.count)

    @property
    def s_hat(self) -> Array:
        return _divided(self.s, 1 - 0.99**self.count)

    @property
    def l_hat(self) -> Array:
        return _divided(self.l, 1 - 0.999**self.count)


Operand = Callable[[Array, Array, MovingAverages], Array]

OPERANDS: tuple[tuple[str, Operand], ...] = (
    ("g", lambda g, w, a: g),
    ("g^2", lambda g, w, a: g * g),
    ("g^3", lambda g, w, a: g * g * g),
    ("v hat", lambda g, w, a: a.v_hat),
    ("s hat", lambda g, w, a: a.s_hat),
    ("lam hat", lambda g, w, a: a.l_hat),
    ("1", lambda g, w, a: np.ones_like(g)),
    ("2", lambda g, w, a: np.full_like(g, 2)),
    ("10-6w", lambda g, w, a: 1e-6 * w),
    ("10-5w", lambda g, w, a: 1e-5 * w),
    ("10-4w", lambda g, w, a: 1e-4 * w),
    ("10-3w", lambda g, w, a: 1e-3 * w),
    ("sign(g)", lambda g, w, a: np.sign(g)),
    ("sign(v hat)", lambda g, w, a: np.sign(a.v_hat)),
    ("((1-0.7)*g+0.7*v hat)", lambda g, w, a: 0.3 * g + 0.7 * a.v_hat),
    ("((1-0.95)*g^2+0.95*s hat)", lambda g, w, a: 0.05 * g * g + 0.95 * a.s_hat),
    # The logged name says g^2; the value has g^3.
    ("((1-0.99)*g^2+0.99*lam hat)", lambda g, w, a: 0.01 * g * g * g + 0.99 * a.l_hat),
    ("mean(beta*v-g)", lambda g, w, a: _mean(g, a.v, 0.9, 0.999)),
    ("mean(beta*s-g^2)", lambda g, w, a: _mean(g * g, a.s, 0.99, 0.999)),
    ("mean(beta*lam-g^3)", lambda g, w, a: _mean(g * g * g, a.l, 0.999, 0.9999)),
)


def _mean(power: Array, average: Array, first: float, second: float) -> Array:
    return (-power + (first * average - power) + (second * average - power)) / 3
