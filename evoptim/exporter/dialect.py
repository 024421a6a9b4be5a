"""A dialect: how the elementary operations of a rule are written in one library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from evoptim.exporter.text import PRODUCT, SIGN, SUM, Template, Text
from evoptim.update import Operation, Scalar

INFIX: Mapping[str, Template] = MappingProxyType(
    {
        "neg": Template("-{0}", SIGN, (SIGN + 1,)),
        "reciprocal": Template("1.0 / {0}", PRODUCT, (SIGN,)),
        "add": Template("{0} + {1}", SUM, (SUM, PRODUCT)),
        "sub": Template("{0} - {1}", SUM, (SUM, PRODUCT)),
        "mul": Template("{0} * {1}", PRODUCT, (PRODUCT, SIGN)),
        "div": Template("{0} / {1}", PRODUCT, (PRODUCT, SIGN)),
        "add_scalar": Template("{0} + {c}", SUM, (SUM,), PRODUCT),
        "one_plus": Template("1.0 + {0}", SUM, (PRODUCT,)),
        "sub_scalar": Template("{0} - {c}", SUM, (SUM,), PRODUCT),
        "mul_scalar": Template("{c} * {0}", PRODUCT, (SIGN,), PRODUCT),
        "div_scalar": Template("{0} / {c}", PRODUCT, (PRODUCT,), SIGN),
    }
)
"""Arithmetic of array objects, the same in every library that overloads the operators."""


@dataclass(frozen=True)
class Dialect:
    """One library's table: operation name -> source.

    Beside the holes of :class:`evoptim.exporter.text.Template` an expression may hold ``{source}``,
    the node of a dropout, and a statement ``{x}``, the variable that it changes.
    """

    expressions: Mapping[str, Template]
    """Values, by the operation's name; ``sub_scalar`` stands for adding a negative number."""
    in_place: Mapping[str, str]
    """Statements that change ``{x}``; operations that have none are assigned."""
    in_place_varying: Mapping[str, str]
    """The same where the number changes from step to step and may be a tensor."""
    store: str
    """Statement that gives ``{x}`` the new value ``{0}``."""
    shrink: str
    """Statement that applies decoupled weight decay to the weight ``{x}``."""
    correction: Text
    """1 - {beta}^n at the n-th gradient."""
    terms: Mapping[str, Template]
    """Where a step returns the change of the weights: what an operation adds to it, else empty."""
    width: int
    """Characters of an expression beyond which its longest part gets a name of its own."""
    argument: int
    """The same for an expression inside a statement that changes a variable."""
    chained: bool = False
    """Whether methods that change one variable may follow one another on a line."""

    def expression(self, operation: Operation) -> Template:
        """The template of an operation's value."""
        if operation.name == "add_scalar" and isinstance(operation.scalar, float):
            if operation.scalar < 0:
                return self.expressions["sub_scalar"]
            if operation.scalar == 1.0:
                return self.expressions.get("one_plus", self.expressions["add_scalar"])
        return self.expressions[operation.name]

    def statement(self, operation: Operation) -> str | None:
        """The template of an operation in place; None where there is none."""
        varies = isinstance(operation.scalar, Scalar)
        return (self.in_place_varying if varies else self.in_place).get(operation.name)
