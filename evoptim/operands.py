"""The 20 operands of the update graph, one row each.

Notation: g gradient, w weights; v, s, l the moving averages of g, g^2, g^3 (zero at the start,
updated before use); a hat marks the average divided by 1 - beta^count, its bias correction.

Source: Morgan & Hougen, arXiv 2404.06679. The names are those of their log, kept character for
character because formulas are written and parsed with them; the one of ``lam hat`` that says
g^2 uses g^3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    # As in evoptim.operators: only who computes pays for torch.
    from torch import Tensor

Average = Literal["v", "s", "l"]

BETAS: MappingProxyType[Average, float] = MappingProxyType({"v": 0.9, "s": 0.99, "l": 0.999})
"""Decay of each moving average."""

POWERS: MappingProxyType[Average, int] = MappingProxyType({"v": 1, "s": 2, "l": 3})
"""The power of the gradient that each one averages."""


class Signals(NamedTuple):
    """What operands are computed from, all of one shape."""

    gradient: Tensor
    weight: Tensor
    averages: dict[Average, Tensor]
    """Raw moving averages, this step's gradient included; only those that are needed."""
    updates: int
    """Number of gradients that the averages have seen, this one included."""

    def hat(self, average: Average) -> Tensor:
        """The bias-corrected moving average."""
        return self.averages[average] / (1.0 - BETAS[average] ** self.updates)


@dataclass(frozen=True)
class Operand:
    """One row of :data:`OPERANDS`."""

    name: str
    latex: str
    averages: tuple[Average, ...]
    value: Callable[[Signals], Tensor]


def _constant(signals: Signals, value: float) -> Tensor:
    import torch

    return torch.full_like(signals.weight, value)


# fmt: off
_ROWS: tuple[Operand, ...] = (
    Operand("g", r"g", (), lambda s: s.gradient),
    Operand("g^2", r"g^2", (), lambda s: s.gradient.square()),
    Operand("g^3", r"g^3", (), lambda s: s.gradient.pow(3)),
    Operand("v hat", r"\hat v", ("v",), lambda s: s.hat("v")),
    Operand("s hat", r"\hat s", ("s",), lambda s: s.hat("s")),
    Operand("lam hat", r"\hat\lambda", ("l",), lambda s: s.hat("l")),
    Operand("1", r"1", (), lambda s: _constant(s, 1.0)),
    Operand("2", r"2", (), lambda s: _constant(s, 2.0)),
    Operand("10-6w", r"10^{-6}w", (), lambda s: s.weight * 1e-6),
    Operand("10-5w", r"10^{-5}w", (), lambda s: s.weight * 1e-5),
    Operand("10-4w", r"10^{-4}w", (), lambda s: s.weight * 1e-4),
    Operand("10-3w", r"10^{-3}w", (), lambda s: s.weight * 1e-3),
    Operand("sign(g)", r"\operatorname{sign}(g)", (), lambda s: s.gradient.sign()),
    Operand("sign(v hat)", r"\operatorname{sign}(\hat v)", ("v",), lambda s: s.averages["v"].sign()),
    Operand("((1-0.7)*g+0.7*v hat)", r"\left(0.3g+0.7\hat v\right)", ("v",), lambda s: 0.3 * s.gradient + 0.7 * s.hat("v")),
    Operand("((1-0.95)*g^2+0.95*s hat)", r"\left(0.05g^2+0.95\hat s\right)", ("s",), lambda s: 0.05 * s.gradient.square() + 0.95 * s.hat("s")),
    Operand("((1-0.99)*g^2+0.99*lam hat)", r"\left(0.01g^3+0.99\hat\lambda\right)", ("l",), lambda s: 0.01 * s.gradient.pow(3) + 0.99 * s.hat("l")),
    Operand("mean(beta*v-g)", r"\left(0.633v-g\right)", ("v",), lambda s: (0.9 + 0.999) / 3 * s.averages["v"] - s.gradient),
    Operand("mean(beta*s-g^2)", r"\left(0.663s-g^2\right)", ("s",), lambda s: (0.99 + 0.999) / 3 * s.averages["s"] - s.gradient.square()),
    Operand("mean(beta*lam-g^3)", r"\left(0.6663\lambda-g^3\right)", ("l",), lambda s: (0.999 + 0.9999) / 3 * s.averages["l"] - s.gradient.pow(3)),
)
# fmt: on

OPERANDS: MappingProxyType[str, Operand] = MappingProxyType({row.name: row for row in _ROWS})
"""The operands by name, in the order of the paper's columns."""
