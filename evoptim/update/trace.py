"""Traces a formula written over tensors into a :class:`evoptim.update.rule.Rule`."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from evoptim.update.rule import (
    GRADIENT,
    WEIGHT,
    Operation,
    OperationName,
    Rule,
    Scalar,
)

RATE, COEFFICIENT = Scalar("rate"), Scalar("momentum")


@dataclass(frozen=True)
class Options:
    """What a training loop adds to the equation: weight decay of either kind, and the sign."""

    coupled: bool = False
    decoupled: bool = False
    maximize: bool = False


class Graph:
    """The operations recorded so far, equal ones once."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self._numbers: dict[Operation, int] = {}

    def record(
        self,
        name: OperationName,
        *inputs: Traced,
        scalar: float | Scalar | None = None,
        source: str = "",
    ) -> Traced:
        operation = Operation(name, tuple(each.number for each in inputs), scalar, source)
        if operation not in self._numbers:
            self._numbers[operation] = len(self.operations)
            self.operations.append(operation)
        return Traced(self, self._numbers[operation])


class Traced:
    """Stands for a tensor while a formula is traced: notes what is done with it.

    Methods that change a tensor in place change which value the name stands for.
    """

    dtype = torch.float64

    def __init__(self, graph: Graph, number: int) -> None:
        self.graph = graph
        self.number = number

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Traced:
        name = getattr(function, "__name__", "")
        # torch.tanh(x) is x.tanh().
        method = _FUNCTIONS.get(function) or getattr(cls, name.removeprefix("special_"), None)
        if method is None:
            raise TypeError(f"no elementary operation for {function}")
        traced: Traced = method(*args, **(kwargs or {}))
        return traced

    def _unary(self, name: OperationName) -> Traced:
        return self.graph.record(name, self)

    def _scalar(self, name: OperationName, scalar: float | Scalar) -> Traced:
        return self.graph.record(name, self, scalar=scalar)

    def _binary(self, name: OperationName, other: Traced) -> Traced:
        return self.graph.record(name, self, other)

    def __add__(self, other: Traced | float) -> Traced:
        if isinstance(other, Traced):
            return self._binary("add", other)
        return self._scalar("add_scalar", float(other))

    __radd__ = __add__

    def __sub__(self, other: Traced | float) -> Traced:
        if isinstance(other, Traced):
            return self._binary("sub", other)
        return self._scalar("add_scalar", -float(other))

    def __mul__(self, other: Traced | float | Scalar) -> Traced:
        if isinstance(other, Traced):
            return self._binary("mul", other)
        return self._scalar("mul_scalar", _number(other))

    __rmul__ = __mul__

    def __truediv__(self, other: Traced | float | Scalar) -> Traced:
        if isinstance(other, Traced):
            return self._binary("div", other)
        return self._scalar("div_scalar", _number(other))

    def __rtruediv__(self, other: float) -> Traced:
        inverse = self._unary("reciprocal")
        return inverse if other == 1.0 else inverse * other

    def __neg__(self) -> Traced:
        return self._unary("neg")

    def abs(self) -> Traced:
        return self._unary("abs")

    def sign(self) -> Traced:
        return self._unary("sign")

    def sqrt(self) -> Traced:
        return self._unary("sqrt")

    def exp(self) -> Traced:
        return self._unary("exp")

    def log(self) -> Traced:
        return self._unary("log")

    def sigmoid(self) -> Traced:
        return self._unary("sigmoid")

    def erf(self) -> Traced:
        return self._unary("erf")

    def erfc(self) -> Traced:
        return self._unary("erfc")

    def asinh(self) -> Traced:
        return self._unary("asinh")

    def tanh(self) -> Traced:
        return self._unary("tanh")

    def atan(self) -> Traced:
        return self._unary("atan")

    def i1e(self) -> Traced:
        return self._unary("i1e")

    def maximum(self, other: Traced) -> Traced:
        return self._binary("maximum", other)

    def minimum(self, other: Traced) -> Traced:
        return self._binary("minimum", other)

    def square(self) -> Traced:
        return self * self

    def pow(self, exponent: Traced | int) -> Traced:
        if isinstance(exponent, Traced):
            return self._binary("pow", exponent)
        power = self
        for _ in range(exponent - 1):
            power = power * self
        return power

    def clamp(self, min: Traced | float | None = None, max: Traced | float | None = None) -> Traced:
        low = self._bounded("maximum", "clamp_min", min)
        return low._bounded("minimum", "clamp_max", max)

    def _bounded(
        self, binary: OperationName, scalar: OperationName, bound: Traced | float | None
    ) -> Traced:
        if bound is None:
            return self
        if isinstance(bound, Traced):
            return self._binary(binary, bound)
        return self._scalar(scalar, bound)

    def where(self, mask: _Mask, other: float) -> Traced:
        assert other == 0.0
        return self.graph.record("drop", self, scalar=mask.probability, source=str(mask.node))

    def sum(self, dims: object = None, keepdim: bool = False) -> Traced:  # noqa: ARG002
        return self._unary("sum")

    def clone(self) -> Traced:
        return Traced(self.graph, self.number)

    def copy_(self, other: Traced) -> Traced:
        self.number = other.number
        return self

    def mul_(self, factor: float | Scalar | Tensor) -> Traced:
        return self.copy_(self * factor)  # type: ignore[operator]

    def add_(self, other: Traced, alpha: float | Scalar = 1.0) -> Traced:
        if alpha == 1.0:
            return self.copy_(self + other)
        return self.copy_(self.graph.record("add_scaled", self, other, scalar=alpha))

    def addcmul_(self, other: Traced, factor: Scalar) -> Traced:
        return self.add_(other, alpha=factor)


def _number(value: float | Scalar | Tensor) -> float | Scalar:
    return value if isinstance(value, Scalar) else float(value)


def _full(like: Traced, value: float) -> Traced:
    return like.graph.record("full", scalar=value)


_FUNCTIONS: dict[Any, Callable[..., Traced]] = {torch.full_like: _full}


class Count:
    """The number of gradients seen, which formulas use in ``1 - beta ** count`` only."""

    def __rpow__(self, beta: float) -> _Power:
        return _Power(beta)


@dataclass(frozen=True)
class _Power:
    beta: float

    def __rsub__(self, one: float) -> Scalar:
        return Scalar("correction", self.beta)


class State(dict[str, Any]):
    """The state of the traced step: a tensor is read when the formula first asks for it."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> Traced:
        self[name] = read = self.graph.record("read", source=name)
        return read


@dataclass(frozen=True)
class Tensors:
    """What a formula is written over; see :func:`evoptim.update.update_direction`."""

    gradient: Tensor
    weight: Tensor
    state: MutableMapping[str, Tensor]
    count: int


@dataclass(frozen=True)
class _Uniform:
    """Uniform random numbers, which formulas compare with a probability only."""

    node: int

    def __ge__(self, probability: float) -> _Mask:
        return _Mask(self.node, probability)


@dataclass(frozen=True)
class _Mask:
    node: int
    probability: float


def traced_uniform(node: int, like: object) -> Tensor:  # noqa: ARG001
    """Takes the place of a source of random numbers while a formula is traced."""
    return cast("Tensor", _Uniform(node))


def trace(
    direction: Callable[[Tensors], Tensor],
    movement: Callable[..., None],
    options: Options,
) -> Rule:
    """The rule of one step.

    Args:
        direction: Computes the update u from gradient, weight and state, changing the state.
        movement: ``movement(weight, u, rate, coefficient, state)`` changes the weight in place.
        options: What goes before and after.
    """
    graph = Graph()
    gradient = graph.record("read", source=GRADIENT)
    weight = graph.record("read", source=WEIGHT)
    state = State(graph)
    if options.maximize:
        gradient = -gradient
    if options.coupled:
        gradient = gradient.clone().add_(weight, alpha=Scalar("weight_decay"))
    update = direction(cast("Any", Tensors)(gradient, weight.clone(), state, Count()))
    moved = weight.clone()
    if options.decoupled:
        moved.mul_(Scalar("shrink"))
    cast("Any", movement)(moved, update, RATE, COEFFICIENT, state)
    stores = (*((name, each.number) for name, each in state.items()), (WEIGHT, moved.number))
    return _live(graph.operations, stores)


def _live(operations: list[Operation], stores: tuple[tuple[str, int], ...]) -> Rule:
    """Without the operations whose values nothing uses."""
    needed = {number for _, number in stores}
    for number in reversed(range(len(operations))):
        if number in needed:
            needed.update(operations[number].inputs)
    place = {number: index for index, number in enumerate(sorted(needed))}
    return Rule(
        tuple(
            Operation(
                operations[number].name,
                tuple(place[each] for each in operations[number].inputs),
                operations[number].scalar,
                operations[number].source,
            )
            for number in sorted(needed)
        ),
        tuple((name, place[number]) for name, number in stores),
    )
