"""One step of an optimizer as a list of elementary operations: the form that everything runs.

A formula written over tensors (:mod:`evoptim.update.interpreter`) is traced once
(:mod:`evoptim.update.trace`) into a :class:`Rule`. The foreach interpreter executes it, kernels and
exported source files are generated from it, so that all of them compute the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

GRADIENT, WEIGHT = "gradient", "weight"
"""The names of what a step reads, beside the names of its state tensors."""


@dataclass(frozen=True)
class Scalar:
    """A number that changes between steps and is the same for all elements of a weight tensor.

    ============ ===================================================================
    kind         value at the n-th gradient of a tensor, step t
    ============ ===================================================================
    rate         -sign * eta_t, the signed rate that multiplies the update
    momentum     mu_t
    decay        factor of curve number ``parameter`` at t
    correction   1 - parameter^n, the bias correction of a moving average
    weight_decay the coefficient of coupled weight decay
    shrink       1 - eta_t * weight decay, of decoupled weight decay
    ============ ===================================================================
    """

    kind: Literal["rate", "momentum", "decay", "correction", "weight_decay", "shrink"]
    parameter: float = 0


OperationName = Literal[
    "read", "full", "drop", "sum",
    "neg", "abs", "sign", "sqrt", "exp", "log", "sigmoid", "tanh", "atan", "asinh", "erf", "erfc",
    "i1e", "reciprocal",
    "add_scalar", "mul_scalar", "div_scalar", "clamp_min", "clamp_max",
    "add", "sub", "mul", "div", "maximum", "minimum", "pow", "add_scaled",
]  # fmt: skip


@dataclass(frozen=True)
class Operation:
    r"""One elementary operation; its inputs are numbers of operations before it.

    =========================== =================================================================
    name                        value
    =========================== =================================================================
    read                        the tensor called ``source`` as it is before the step
    full                        the number ``scalar`` in every element
    drop                        0 with probability ``scalar``, else the input; the random numbers
                                are those of the node that ``source`` names
    sum                         sum of the input over the weight tensor, one number
    add_scaled                  first + scalar * second
    add_scalar ... clamp_max    one input and ``scalar``
    the rest                    the elementwise function of that name, NaN propagating
    =========================== =================================================================
    """

    name: OperationName
    inputs: tuple[int, ...] = ()
    scalar: float | Scalar | None = None
    source: str = ""


class Curve(Protocol):
    """A function of training progress, such as :class:`evoptim.decay.Decay`."""

    def values(self, total_steps: int) -> tuple[float, ...]:
        """Its value at steps 0, …, total_steps - 1."""


@dataclass(frozen=True)
class Rule:
    """The operations of one step, and which of them become the new state and weights."""

    operations: tuple[Operation, ...]
    stores: tuple[tuple[str, int], ...]
    """(state tensor or :data:`WEIGHT`, number of the operation that holds its new value)."""

    @property
    def state(self) -> tuple[str, ...]:
        """Names of the tensors kept for every weight tensor, each of its shape, 0 at first."""
        return tuple(name for name, _ in self.stores if name != WEIGHT)

    @property
    def scalars(self) -> tuple[Scalar, ...]:
        """The numbers that a step needs, each once."""
        found = (each.scalar for each in self.operations if isinstance(each.scalar, Scalar))
        return tuple(dict.fromkeys(found))

    @property
    def reduced(self) -> frozenset[int]:
        """Numbers of the operations whose value is one number for a whole weight tensor."""
        found: set[int] = set()
        for number, each in enumerate(self.operations):
            if each.name == "sum" or (each.inputs and found.issuperset(each.inputs)):
                found.add(number)
        return frozenset(found)

    @property
    def stochastic(self) -> bool:
        """Whether any operation draws random numbers."""
        return any(each.name == "drop" for each in self.operations)

    @property
    def elementwise(self) -> bool:
        """Whether a part of a weight tensor can be computed without the rest of it."""
        return not any(each.name in ("sum", "drop") for each in self.operations)
