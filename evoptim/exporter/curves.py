"""Functions of training progress as vector code that gives the very same float64 numbers.

A curve is evaluated once on symbols instead of vectors; what was done with them is then written
out, primitive by primitive, in the same order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from evoptim.decay import DECAY_OPERATORS, HIDDEN, PRIMITIVES, Decay, DecayNode
from evoptim.decay.primitives import Progress
from evoptim.exporter.dialect import INFIX
from evoptim.exporter.text import SIGN, Template, Text, number_text
from evoptim.update import Curve
from evoptim.zoo.formulas import HeldAtTheEnd
from evoptim.zoo.schedules import EvolvedCurve

_WIDTH = 66
_ARITHMETIC: Mapping[str, Template] = {
    **INFIX,
    "pow": Template("{0}**{1}", SIGN, (SIGN + 1, SIGN + 1)),
}


@dataclass(frozen=True)
class CurveDialect:
    """How functions of a float64 vector are written."""

    functions: Mapping[str, str]
    """Calls with holes {0} and {1}, by torch's name of the function."""
    progress: Mapping[str, str]
    """Definitions of t, x, m and b."""
    hold: str
    """Statement that repeats the value before the last of {0}."""


TORCH_CURVES = CurveDialect(
    {
        "sigmoid": "torch.sigmoid({0})",
        "erf": "torch.erf({0})",
        "erfc": "torch.erfc({0})",
        "tanh": "torch.tanh({0})",
        "atan": "torch.atan({0})",
        "cos": "torch.cos({0})",
        "special_i1e": "torch.special.i1e({0})",
        "square": "torch.square({0})",
        "abs": "torch.abs({0})",
        "sqrt": "torch.sqrt({0})",
        "maximum": "torch.maximum({0}, {1})",
        "minimum": "torch.minimum({0}, {1})",
    },
    {
        "t": "torch.arange(total_steps, dtype=torch.float64)",
        "x": "t / total_steps",
        "m": "(2 * t).remainder(total_steps) / total_steps",
        "b": "0.95 * (1.0 - (t + 1) / total_steps)",
    },
    "{0}[-1:] = {0}[-2:-1] if total_steps > 1 else 1.0",
)
NUMPY_CURVES = CurveDialect(
    {
        "sigmoid": "_sigmoid({0})",
        "erf": "_erf({0})",
        "erfc": "_erfc({0})",
        "tanh": "np.tanh({0})",
        "atan": "np.arctan({0})",
        "cos": "np.cos({0})",
        "special_i1e": "_i1e({0})",
        "square": "np.square({0})",
        "abs": "np.abs({0})",
        "sqrt": "np.sqrt({0})",
        "maximum": "np.maximum({0}, {1})",
        "minimum": "np.minimum({0}, {1})",
    },
    {
        "t": "np.arange(total_steps, dtype=np.float64)",
        "x": "t / total_steps",
        "m": "(2 * t) % total_steps / total_steps",
        "b": "0.95 * (1.0 - (t + 1) / total_steps)",
    },
    "{0}[-1:] = {0}[-2:-1] if total_steps > 1 else 1.0",
)


class Symbol:
    """Stands for a vector over all steps: remembers what is computed from it."""

    def __init__(self, name: str, *inputs: Symbol | float) -> None:
        self.name = name
        self.inputs = inputs

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Symbol:
        return Symbol(function.__name__, *args)

    def __add__(self, other: Symbol | float) -> Symbol:
        return Symbol("add", self, other)

    def __radd__(self, other: float) -> Symbol:
        return Symbol("add", other, self)

    def __sub__(self, other: Symbol | float) -> Symbol:
        return Symbol("sub", self, other)

    def __rsub__(self, other: float) -> Symbol:
        return Symbol("sub", other, self)

    def __mul__(self, other: Symbol | float) -> Symbol:
        return Symbol("mul", self, other)

    def __rmul__(self, other: float) -> Symbol:
        return Symbol("mul", other, self)

    def __truediv__(self, other: Symbol | float) -> Symbol:
        return Symbol("div", self, other)

    def __rtruediv__(self, other: float) -> Symbol:
        return Symbol("div", other, self)

    def __rpow__(self, other: float) -> Symbol:
        return Symbol("pow", other, self)

    def __getattr__(self, name: str) -> Callable[..., Symbol]:
        return partial(Symbol, name, self)


def curve_lines(curves: Mapping[str, Curve], dialect: CurveDialect) -> list[str]:
    """Statements that compute every curve, by the name of its variable.

    They need ``total_steps`` and leave a float64 vector of that length in each variable.
    """
    if not curves:
        return []
    primitives: dict[str, Symbol] = {}

    def primitive(name: str) -> Any:
        return primitives.setdefault(name, Symbol(name))

    body: list[str] = []
    for name, curve in curves.items():
        held = isinstance(curve, HeldAtTheEnd)
        inner = curve.curve if isinstance(curve, HeldAtTheEnd) else curve
        body += _assignments(name, _factor(inner, primitive), dialect)
        if held:
            body.append(dialect.hold.format(name))
    progress = cast("Any", Progress)(Symbol("x"), Symbol("m"), Symbol("b"))
    definitions = {name: cast("Any", PRIMITIVES[name].value(progress)) for name in primitives}
    needed = {"t"}.union(*(_leaves(symbol) for symbol in definitions.values()))
    return [
        *(f"{name} = {text}" for name, text in dialect.progress.items() if name in needed),
        *(
            line
            for name in sorted(primitives, key=_by_number)
            for line in _assignments(name, definitions[name], dialect)
        ),
        *body,
    ]


def _by_number(primitive: str) -> tuple[int, str]:
    return len(primitive), primitive


def curve_text(curve: Curve) -> str:
    """A curve for people to read."""
    if isinstance(curve, HeldAtTheEnd):
        return f"{curve.curve}, the last value that of the step before"
    return curve.formula if isinstance(curve, EvolvedCurve) else str(curve)


def primitives_of(curves: Sequence[Curve]) -> tuple[str, ...]:
    """The decay primitives that curves are made of."""
    found: dict[str, None] = {}

    def primitive(name: str) -> Any:
        found[name] = None
        return Symbol(name)

    for curve in curves:
        _factor(curve.curve if isinstance(curve, HeldAtTheEnd) else curve, primitive)
    return tuple(sorted(found, key=_by_number))


def _factor(curve: Curve, primitive: Callable[[str], Any]) -> Symbol:
    if isinstance(curve, EvolvedCurve):
        return cast("Symbol", curve.factor(primitive))
    assert isinstance(curve, Decay)

    def value(of: DecayNode, hidden: Any) -> Any:
        inputs = [hidden if name == HIDDEN else primitive(name) for name in of.inputs]
        return DECAY_OPERATORS[of.operator].apply(*inputs)

    hidden = value(curve.hidden, None) if curve.hidden and curve.uses_hidden else None
    return cast("Symbol", value(curve.root, hidden))


def _leaves(symbol: Symbol) -> set[str]:
    if not symbol.inputs:
        return {symbol.name}
    return set[str]().union(*(_leaves(each) for each in symbol.inputs if isinstance(each, Symbol)))


def _assignments(name: str, symbol: Symbol, dialect: CurveDialect) -> list[str]:
    """``name = …``, after what is used twice or makes the line too long."""
    uses = Counter[int]()
    _count(symbol, uses)
    lines: list[str] = []
    named: dict[int, Text] = {}

    def give_name(each: Symbol, text: Text) -> Text:
        part = f"{name}_{len(named) + 1}"
        lines.append(f"{part} = {text.text}")
        named[id(each)] = Text(part)
        return named[id(each)]

    def written(each: Symbol | float) -> Text:
        if not isinstance(each, Symbol):
            return number_text(each)
        if not each.inputs:
            return Text(each.name)
        if id(each) in named:
            return named[id(each)]
        inputs = [written(inner) for inner in each.inputs]
        while True:
            text = _filled(each.name, inputs, dialect)
            longest = max(range(len(inputs)), key=lambda place: len(inputs[place].text))
            inner = each.inputs[longest]
            whole = not isinstance(inner, Symbol) or not inner.inputs or id(inner) in named
            if len(text.text) <= _WIDTH or whole:
                break
            inputs[longest] = give_name(cast("Symbol", inner), inputs[longest])
        return give_name(each, text) if uses[id(each)] > 1 else text

    text = written(symbol)
    return [*lines, f"{name} = {text.text}"]


def _count(symbol: Symbol, uses: Counter[int]) -> None:
    uses[id(symbol)] += 1
    if uses[id(symbol)] == 1:
        for each in symbol.inputs:
            if isinstance(each, Symbol):
                _count(each, uses)


def _filled(name: str, inputs: Sequence[Text], dialect: CurveDialect) -> Text:
    if name in _ARITHMETIC:
        return _ARITHMETIC[name].fill(inputs)
    return Text(dialect.functions[name].format(*(each.text for each in inputs)))
