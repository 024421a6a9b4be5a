"""How often each choice is made when genomes are drawn and mutated: data, not code.

The defaults are the distribution of Morgan & Hougen (arXiv 2404.06679) as their program
realises it. A weight of 0 removes an operator, operand or primitive from the search.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from evoptim.config.value import Value
from evoptim.decay import PRIMITIVES
from evoptim.operands import OPERANDS
from evoptim.operators import BINARY, UNARY

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Weight = Annotated[float, Field(ge=0.0)]
Weights = dict[str, Weight]


def _refuse_unknown(what: str, weights: Mapping[str, float], known: Mapping[str, object]) -> None:
    for name in weights:
        if name not in known:
            raise ValueError(f"there is no {what} {name!r}; choose among {', '.join(known)}")
    if known and all(weights.get(name, 1.0) == 0.0 for name in known):
        raise ValueError(f"every {what} has weight 0; leave at least one")


class DecaySampling(Value):
    """How a decay function is drawn: one hidden node and one root over the primitives."""

    unary: Probability = 0.8
    """Probability that a node of the decay graph is unary rather than binary."""
    hidden: Probability = 0.2
    """Probability that the root is forced to use the hidden node."""
    primitives: Weights = {"a14w": 0.0}
    """Relative weights of a1..a14 and a14w; 1 where not named."""

    @model_validator(mode="after")
    def _known(self) -> DecaySampling:
        _refuse_unknown("decay primitive", self.primitives, PRIMITIVES)
        if sum(self.primitives.get(name, 1.0) > 0.0 for name in PRIMITIVES) < 3:
            raise ValueError("a decay graph draws distinct primitives: leave at least three")
        return self


class SamplingProbabilities(Value):
    """The initial distribution over genomes."""

    hidden_unary: Probability = 0.75
    """Probability that a hidden node is unary."""
    root_unary: Probability = 0.25
    """Probability that the root is unary."""
    identity: Probability = 0.2
    """Probability that a unary node is the identity; else it is drawn by ``unary``."""
    operand_input: Annotated[float, Field(ge=0.01, le=1.0)] = 0.8
    """Probability that an input is an operand rather than a hidden node. Without operands every
    draw would be a cycle, and there would be no end to drawing again."""
    edge_decay: Probability = 0.15
    """Probability that an edge carries a decay function."""
    root_unary_edge_decay: Probability = 0.85
    """The same for the one edge of a unary root, where it is a learned LR schedule."""
    momentum: dict[Literal["none", "heavy-ball", "nesterov"], Weight] = {
        "none": 1.0,
        "heavy-ball": 1.0,
        "nesterov": 1.0,
    }
    """Relative weights of the momentum types."""
    operands: Weights = {}
    """Relative weights of the operands, by the name that formulas use; 1 where not named."""
    unary: Weights = {}
    """Relative weights of the unary operators other than the identity; 1 where not named."""
    binary: Weights = {}
    """Relative weights of the binary operators; 1 where not named."""
    decay: DecaySampling = DecaySampling()
    """How decay functions are drawn."""

    @model_validator(mode="after")
    def _known(self) -> SamplingProbabilities:
        _refuse_unknown("operand", self.operands, OPERANDS)
        unary = {name: row for name, row in UNARY.items() if name != "identity"}
        _refuse_unknown("unary operator", self.unary, unary)
        _refuse_unknown("binary operator", self.binary, BINARY)
        if not any(self.momentum.values()):
            raise ValueError("every momentum type has weight 0; leave at least one")
        if sum(self.operands.get(name, 1.0) > 0.0 for name in OPERANDS) < 2:
            raise ValueError("a binary node draws two distinct operands: leave at least two")
        return self


class DecayMutation(Value):
    """How a decay function changes. The three kinds are relative weights."""

    operator: Weight = 0.60
    """Another operator of the same arity."""
    connection: Weight = 0.25
    """Another input."""
    arity: Weight = 0.15
    """Unary becomes binary, binary becomes unary."""
    swap: Probability = 0.2
    """Among connection mutations of a binary node: the inputs change places."""

    @model_validator(mode="after")
    def _some_kind(self) -> DecayMutation:
        if not any((self.operator, self.connection, self.arity)):
            raise ValueError("every kind of change of a decay has weight 0; leave at least one")
        return self


class MutationProbabilities(Value):
    """How a genome changes. The five kinds are relative weights."""

    operator: Weight = 0.4
    """Another operator of the same arity at one node."""
    connection: Weight = 0.3
    """Another input of one node."""
    arity: Weight = 0.1
    """One node gains or loses an input."""
    momentum: Weight = 0.1
    """Another momentum type."""
    decay: Weight = 0.1
    """A decay function appears, changes or disappears on one edge."""
    to_identity: Probability = 0.2
    """Among operator mutations of a unary node: it becomes the identity."""
    swap: Probability = 0.2
    """Among connection mutations of a binary node: the inputs change places."""
    delete_decay: Probability = 0.5
    """Among decay mutations of an edge that has one: it is deleted rather than changed."""
    decay_function: DecayMutation = DecayMutation()
    """How a decay function itself changes."""

    @model_validator(mode="after")
    def _some_kind(self) -> MutationProbabilities:
        kinds = (self.operator, self.connection, self.arity, self.momentum, self.decay)
        if not any(kinds):
            raise ValueError("every kind of mutation has weight 0; leave at least one")
        return self
