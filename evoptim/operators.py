"""The operators of the update graph: 26 unary and 10 binary, one row each.

A row holds the name that configurations use, the symbol that formulas are written and parsed
with (X and Y stand for the inputs), the LaTeX form and the implementation. Out-of-domain inputs
give NaN or infinity on purpose: a bad candidate fails by its values, not by an exception.

Source: Morgan & Hougen, arXiv 2404.06679, as their program realises it. Where its behaviour was
an accident, the intended meaning is implemented: see docs/decisions/0002-intended-meanings.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    # Configurations read the names in here, and most of what reads them computes nothing.
    from torch import Tensor

EPSILON = 1e-7
"""Keeps logarithms and quotients finite at 0, as in the paper's program."""

EMA_DECAY = 0.95
"""Decay of ``expMovAvg``."""


class Site(Protocol):
    """Where an operator is applied: one node of the graph, for one weight tensor."""

    @property
    def count(self) -> int:
        """Number of this application, from 1."""

    @property
    def dims(self) -> tuple[int, ...]:
        """The dimensions that together make up one weight tensor (norms reduce over them)."""

    def memory(self, like: Tensor) -> Tensor:
        """The node's own tensor, zero before its first use; operators change it in place."""

    def uniform(self, like: Tensor) -> Tensor:
        """Fresh uniform numbers in [0, 1) of the shape of ``like``."""


@dataclass(frozen=True)
class UnaryOperator:
    """One row of :data:`UNARY`."""

    name: str
    symbol: str
    latex: str
    apply: Callable[[Tensor, Site], Tensor]
    stateful: bool = False
    """Whether it keeps one tensor per node and weight tensor."""
    stochastic: bool = False
    """Whether it draws random numbers at every step."""


@dataclass(frozen=True)
class BinaryOperator:
    """One row of :data:`BINARY`."""

    name: str
    symbol: str
    latex: str
    apply: Callable[[Tensor, Tensor], Tensor]
    commutative: bool = False


def bessel_i1e(x: Tensor) -> Tensor:
    """The scaled modified Bessel function of order 1, which is no method of tensors."""
    import torch

    value: Tensor = torch.special.i1e(x)
    return value


def _dropout(probability: float) -> Callable[[Tensor, Site], Tensor]:
    def apply(x: Tensor, site: Site) -> Tensor:
        kept = site.uniform(x) >= probability
        return (x / (1.0 - probability)).where(kept, 0.0)

    return apply


def _norm_clip(x: Tensor, site: Site) -> Tensor:
    norm = (x * x).sum(site.dims, keepdim=True).sqrt()
    return x / norm.clamp(min=1.0)


def _exp_mov_avg(x: Tensor, site: Site) -> Tensor:
    average = site.memory(x).mul_(EMA_DECAY).add_(x, alpha=1.0 - EMA_DECAY)
    return average / (1.0 - EMA_DECAY**site.count)


# Both return a copy: a later node that holds the output must not see the next step's value.
def _delta_change(x: Tensor, site: Site) -> Tensor:
    previous = site.memory(x)
    return previous.copy_(x - previous).clone()


def _max_value(x: Tensor, site: Site) -> Tensor:
    largest = site.memory(x)
    return largest.copy_(x.maximum(largest)).clone()


def _clip(x: Tensor, y: Tensor) -> Tensor:
    bound = y.abs()
    return x.clamp(-bound, bound)


# fmt: off
_UNARY_ROWS: tuple[UnaryOperator, ...] = (
    UnaryOperator("identity", "id(X)", r"X", lambda x, _: x),
    UnaryOperator("neg", "-(X)", r"-\left(X\right)", lambda x, _: -x),
    UnaryOperator("ln_abs", "ln(|X|)", r"\ln\left|X\right|", lambda x, _: (x.abs() + EPSILON).log()),
    UnaryOperator("sqrt_abs", "sqrt(|X|)", r"\sqrt{\left|X\right|}", lambda x, _: x.abs().sqrt()),
    UnaryOperator("exp", "exp(X)", r"e^{X}", lambda x, _: x.exp()),
    UnaryOperator("abs", "|X|", r"\left|X\right|", lambda x, _: x.abs()),
    UnaryOperator("sigmoid", "sig(X)", r"\sigma\left(X\right)", lambda x, _: x.sigmoid()),
    UnaryOperator("inv_one_plus_abs", "1/(1+|X|)", r"\frac{1}{1+\left|X\right|}", lambda x, _: 1.0 / (1.0 + x.abs())),
    UnaryOperator("ln_abs_one_plus_exp", "ln(|1+exp(X)|)", r"\ln\left(1+e^{X}\right)", lambda x, _: ((1.0 + x.exp()).abs() + EPSILON).log()),
    UnaryOperator("erf", "erf(X)", r"\operatorname{erf}\left(X\right)", lambda x, _: x.erf()),
    UnaryOperator("erfc", "erfc(X)", r"\operatorname{erfc}\left(X\right)", lambda x, _: x.erfc()),
    UnaryOperator("arcsinh", "arcsinh(X)", r"\operatorname{arcsinh}\left(X\right)", lambda x, _: x.asinh()),
    UnaryOperator("tanh", "tanh(X)", r"\tanh\left(X\right)", lambda x, _: x.tanh()),
    UnaryOperator("arctan", "arctan(X)", r"\arctan\left(X\right)", lambda x, _: x.atan()),
    UnaryOperator("reciprocal", "1/(X)", r"\frac{1}{X}", lambda x, _: 1.0 / (x + EPSILON)),
    UnaryOperator("bessel_i1e", "bessel_i1e(X)", r"\operatorname{i}_{1\mathrm{e}}\left(X\right)", lambda x, _: bessel_i1e(x)),
    UnaryOperator("max0", "max(X, 0)", r"\max\left(X, 0\right)", lambda x, _: x.clamp(min=0.0)),
    UnaryOperator("min0", "min(X, 0)", r"\min\left(X, 0\right)", lambda x, _: x.clamp(max=0.0)),
    UnaryOperator("drop50", "drop(X, 0.5)", r"\operatorname{drop}_{0.5}\left(X\right)", _dropout(0.5), stochastic=True),
    UnaryOperator("drop30", "drop(X, 0.3)", r"\operatorname{drop}_{0.3}\left(X\right)", _dropout(0.3), stochastic=True),
    UnaryOperator("drop10", "drop(X, 0.1)", r"\operatorname{drop}_{0.1}\left(X\right)", _dropout(0.1), stochastic=True),
    UnaryOperator("norm_clip", "norm(X)", r"\frac{X}{\max\left(1, \left\|X\right\|_2\right)}", _norm_clip),
    UnaryOperator("softsign", "X/(1+|X|)", r"\operatorname{softsign}\left(X\right)", lambda x, _: x / (1.0 + x.abs())),
    UnaryOperator("exp_mov_avg", "expMovAvg(X)", r"\operatorname{EMA}_{0.95}\left(X\right)", _exp_mov_avg, stateful=True),
    UnaryOperator("delta_change", "deltaChange(X)", r"\Delta\left(X\right)", _delta_change, stateful=True),
    UnaryOperator("max_value", "MaxValue(X)", r"\max_{\tau\le t}\left(X\right)^{+}", _max_value, stateful=True),
)

_BINARY_ROWS: tuple[BinaryOperator, ...] = (
    BinaryOperator("add", "(X)+(Y)", r"X + Y", lambda x, y: x + y, commutative=True),
    BinaryOperator("sub", "(X)-(Y)", r"X - \left(Y\right)", lambda x, y: x - y),
    BinaryOperator("mul", "(X)*(Y)", r"\left(X\right) \cdot \left(Y\right)", lambda x, y: x * y, commutative=True),
    BinaryOperator("max", "max(X, Y)", r"\max\left(X, Y\right)", lambda x, y: x.maximum(y), commutative=True),
    BinaryOperator("min", "min(X, Y)", r"\min\left(X, Y\right)", lambda x, y: x.minimum(y), commutative=True),
    BinaryOperator("div", "(X) / (Y)", r"\frac{X}{Y}", lambda x, y: x / (y + EPSILON)),
    BinaryOperator("div_sqrt_one_plus_sq", "(X) / (sqrt(1+(Y)^2))", r"\frac{X}{\sqrt{1+\left(Y\right)^2}}", lambda x, y: x / (1.0 + y * y).sqrt()),
    BinaryOperator("clip", "clip(X, Y)", r"\operatorname{clip}\left(X, \pm\left|Y\right|\right)", _clip),
    BinaryOperator("ema_mix", "(0.95*(X)+0.05*(Y))", r"0.95\left(X\right) + 0.05\left(Y\right)", lambda x, y: EMA_DECAY * x + (1.0 - EMA_DECAY) * y),
    BinaryOperator("pow_abs", "(|X|)^(Y)", r"\left|X\right|^{Y}", lambda x, y: x.abs().pow(y)),
)
# fmt: on

UNARY: MappingProxyType[str, UnaryOperator] = MappingProxyType(
    {row.name: row for row in _UNARY_ROWS}
)
"""The unary operators by name."""

BINARY: MappingProxyType[str, BinaryOperator] = MappingProxyType(
    {row.name: row for row in _BINARY_ROWS}
)
"""The binary operators by name."""

ARITY: MappingProxyType[str, int] = MappingProxyType(
    dict.fromkeys(UNARY, 1) | dict.fromkeys(BINARY, 2)
)
"""Number of inputs of every operator, by name."""
