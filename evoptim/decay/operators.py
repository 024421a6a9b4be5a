"""The operators inside decay functions: 13 unary and 7 binary, one row each.

They act on float64 vectors over all steps. Source: Morgan & Hougen, arXiv 2404.06679; the symbols
are those of their log, the unbalanced sigmoid included, because formulas are parsed with them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from evoptim.operators import EPSILON, bessel_i1e

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class DecayOperator:
    """One row of :data:`DECAY_UNARY` or :data:`DECAY_BINARY`."""

    name: str
    symbol: str
    latex: str
    apply: Callable[..., Tensor]
    commutative: bool = False


# fmt: off
_UNARY_ROWS: tuple[DecayOperator, ...] = (
    DecayOperator("sigmoid", "1/(1+exp(-X)", r"\sigma\left(X\right)", lambda x: x.sigmoid()),
    DecayOperator("deriv_soft", "deriv_soft(X)", r"\frac{1}{1+\left|X\right|}", lambda x: 1.0 / (1.0 + x.abs())),
    DecayOperator("erf", "erf(X)", r"\operatorname{erf}\left(X\right)", lambda x: x.erf()),
    DecayOperator("erfc", "erfc(X)", r"\operatorname{erfc}\left(X\right)", lambda x: x.erfc()),
    DecayOperator("tanh", "tanh(X)", r"\tanh\left(X\right)", lambda x: x.tanh()),
    DecayOperator("arctan", "arctan(X)", r"\arctan\left(X\right)", lambda x: x.atan()),
    DecayOperator("bessel_i1e", "bessel_i1e(X)", r"\operatorname{i}_{1\mathrm{e}}\left(X\right)", bessel_i1e),
    DecayOperator("square", "(X)^2", r"\left(X\right)^2", lambda x: x.square()),
    DecayOperator("sqrt_abs", "sqrt(X)", r"\sqrt{\left|X\right|}", lambda x: x.abs().sqrt()),
    DecayOperator("softsign", "X/(1+|X|)", r"\operatorname{softsign}\left(X\right)", lambda x: x / (1.0 + x.abs())),
    DecayOperator("deriv_tanh", "deriv_tanh(X)", r"\tanh'\left(X\right)", lambda x: 1.0 - x.tanh().square()),
    DecayOperator("deriv_sig", "deriv_sig(X)", r"\sigma'\left(X\right)", lambda x: x.sigmoid() * (1.0 - x.sigmoid())),
    DecayOperator("identity", "id(X)", r"X", lambda x: x),
)

_BINARY_ROWS: tuple[DecayOperator, ...] = (
    DecayOperator("add", "(X)+(Y)", r"X + Y", lambda x, y: x + y, commutative=True),
    DecayOperator("sub", "(X)-(Y)", r"X - \left(Y\right)", lambda x, y: x - y),
    DecayOperator("mul", "(X)*(Y)", r"\left(X\right) \cdot \left(Y\right)", lambda x, y: x * y, commutative=True),
    DecayOperator("max", "max(X, Y)", r"\max\left(X, Y\right)", lambda x, y: x.maximum(y), commutative=True),
    DecayOperator("min", "min(X, Y)", r"\min\left(X, Y\right)", lambda x, y: x.minimum(y), commutative=True),
    DecayOperator("div", "(X) / (Y)", r"\frac{X}{Y}", lambda x, y: x / (y + EPSILON)),
    DecayOperator("div_sqrt_one_plus_sq", "(X) / (sqrt(1+(Y)^2))", r"\frac{X}{\sqrt{1+\left(Y\right)^2}}", lambda x, y: x / (1.0 + y * y).sqrt()),
)
# fmt: on

DECAY_UNARY: MappingProxyType[str, DecayOperator] = MappingProxyType(
    {row.name: row for row in _UNARY_ROWS}
)
"""The unary decay operators by name."""

DECAY_BINARY: MappingProxyType[str, DecayOperator] = MappingProxyType(
    {row.name: row for row in _BINARY_ROWS}
)
"""The binary decay operators by name."""

DECAY_OPERATORS: MappingProxyType[str, DecayOperator] = MappingProxyType(
    {**DECAY_UNARY, **DECAY_BINARY}
)
"""Both, by name."""

DECAY_ARITY: MappingProxyType[str, int] = MappingProxyType(
    dict.fromkeys(DECAY_UNARY, 1) | dict.fromkeys(DECAY_BINARY, 2)
)
"""Number of inputs of every decay operator, by name."""
