"""A decay function: one hidden node and one root over the primitives.

a4 ──► hidden: tanh ──► root: max ──► d(t)
                 a10 ──────┘
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evoptim.decay.operators import DECAY_ARITY, DECAY_OPERATORS
from evoptim.decay.primitives import PRIMITIVES, Progress
from evoptim.errors import InputError
from evoptim.expression import Grammar, Input, Template, Term

if TYPE_CHECKING:
    from torch import Tensor

HIDDEN = "h"
"""How a root names the hidden node among its inputs."""

RANGE_STEPS = 100
"""Number of steps at which a decay function must stay within [0, 1] (the paper's T)."""

DECAY_GRAMMAR = Grammar(
    "decay function",
    {name: row.symbol for name, row in DECAY_OPERATORS.items()},
    tuple(PRIMITIVES),
)


@dataclass(frozen=True)
class DecayNode:
    """One operator of a decay function over primitives or, for the root, the hidden node."""

    operator: str
    inputs: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.operator not in DECAY_ARITY:
            raise InputError(
                f"there is no decay operator {self.operator!r}; "
                f"choose among {', '.join(DECAY_ARITY)}"
            )
        if len(self.inputs) != DECAY_ARITY[self.operator]:
            raise InputError(
                f"the decay operator {self.operator!r} takes {DECAY_ARITY[self.operator]} "
                f"input(s), got {list(self.inputs)}"
            )
        for name in self.inputs:
            if name != HIDDEN and name not in PRIMITIVES:
                raise InputError(
                    f"there is no decay primitive {name!r}; choose among {', '.join(PRIMITIVES)}"
                )


@dataclass(frozen=True)
class Decay:
    """An immutable function of training progress, t -> d(t)."""

    root: DecayNode
    hidden: DecayNode | None = None

    def __post_init__(self) -> None:
        if self.hidden is not None and HIDDEN in self.hidden.inputs:
            raise InputError("the hidden node of a decay function reads primitives only, got 'h'")
        if self.uses_hidden and self.hidden is None:
            raise InputError(
                "the root of the decay function reads 'h', but there is no hidden node"
            )

    @property
    def uses_hidden(self) -> bool:
        """Whether the hidden node takes part in the value."""
        return HIDDEN in self.root.inputs

    @staticmethod
    def parse(text: str) -> Decay:
        """Read the log's notation, such as ``max(a6, a10)``.

        Raises:
            ExpressionError: the text is no decay function.
        """
        return Decay.from_term(DECAY_GRAMMAR.parse(text))

    @staticmethod
    def from_term(term: Input) -> Decay:
        """Fold a parsed text into a hidden node and a root.

        Raises:
            InputError: no operator at all, or more than two different ones.
        """
        text = DECAY_GRAMMAR.write(term)
        if not isinstance(term.of, Term):
            raise InputError(
                f"a decay function applies at least one operator: "
                f"write 'id({term.of})' for {term.of!r}"
            )
        hidden: DecayNode | None = None
        inputs: list[str] = []
        for each in term.of.inputs:
            if isinstance(each.of, str):
                inputs.append(each.of)
                continue
            names = [inner.of for inner in each.of.inputs]
            leaves = tuple(name for name in names if isinstance(name, str))
            node = DecayNode(each.of.operator, leaves) if len(leaves) == len(names) else None
            if node is None or (hidden is not None and hidden != node):
                raise InputError(
                    f"a decay function has one hidden node and a root, got more operators: {text!r}"
                )
            hidden = node
            inputs.append(HIDDEN)
        return Decay(DecayNode(term.of.operator, tuple(inputs)), hidden)

    def to_term(self) -> Input:
        """The inverse of :meth:`from_term`."""
        return Input(
            Term(
                self.root.operator,
                tuple(
                    _leaf_term(self.hidden) if name == HIDDEN and self.hidden else Input(name)
                    for name in self.root.inputs
                ),
            )
        )

    def __str__(self) -> str:
        return DECAY_GRAMMAR.write(self.to_term())

    def to_latex(self) -> str:
        """LaTeX over x = t/T (and, for some primitives, m and b)."""

        def node(of: DecayNode) -> str:
            inputs = [
                node(self.hidden) if name == HIDDEN and self.hidden else PRIMITIVES[name].latex
                for name in of.inputs
            ]
            return Template.of(DECAY_OPERATORS[of.operator].latex).fill(inputs)

        return node(self.root)

    def values(self, total_steps: int) -> tuple[float, ...]:
        """d(t) at t = 0, …, total_steps - 1."""
        return _values(self, total_steps)

    @property
    def in_range(self) -> bool:
        """Whether d stays within [0, 1], ends included, over 100 steps (the paper's constraint)."""
        # NaN fails both comparisons, so a function with a hole is out of range.
        return all(0.0 <= value <= 1.0 for value in self.values(RANGE_STEPS))

    def canonical(self) -> Decay:
        """The same function without what does not change its value.

        Drops an unused hidden node, merges identities, sorts the inputs of commutative operators.
        """
        root, hidden = self.root, self.hidden if self.uses_hidden else None
        if hidden is not None and hidden.operator == "identity":
            root = DecayNode(
                root.operator,
                tuple(hidden.inputs[0] if name == HIDDEN else name for name in root.inputs),
            )
            hidden = None
        if hidden is not None and root.operator == "identity":
            root, hidden = hidden, None
        return Decay(_sorted(root), _sorted(hidden) if hidden else None)


def _leaf_term(node: DecayNode) -> Input:
    return Input(Term(node.operator, tuple(Input(name) for name in node.inputs)))


def _sorted(node: DecayNode) -> DecayNode:
    if not DECAY_OPERATORS[node.operator].commutative:
        return node
    return DecayNode(node.operator, tuple(sorted(node.inputs)))


@functools.lru_cache(maxsize=1024)
def _values(decay: Decay, total_steps: int) -> tuple[float, ...]:
    progress = Progress.over(total_steps)

    def node(of: DecayNode) -> Tensor:
        inputs = [
            node(decay.hidden)
            if name == HIDDEN and decay.hidden
            else PRIMITIVES[name].value(progress)
            for name in of.inputs
        ]
        return DECAY_OPERATORS[of.operator].apply(*inputs)

    return tuple(node(decay.root).tolist())
