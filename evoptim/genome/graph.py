"""The genome: update graph, decays on its edges, momentum type and sign. Immutable.

operand ─[decay]─► hidden 0 ─┐
operand ─────────► hidden 1 ─┴─[decay]─► root ─► update u
                                                 w moves along -u (sign +1) or +u (sign -1)
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from evoptim.decay import Decay
from evoptim.errors import InputError
from evoptim.operands import OPERANDS
from evoptim.operators import ARITY

MAX_HIDDEN = 5
"""Hidden nodes of the update graph (paper: columns 20 to 24)."""

Source = str | int
"""Where an edge comes from: an operand's name or a hidden node's index."""


class GenomeError(InputError):
    """What was given is not a genome."""


class Momentum(Enum):
    """How the update turns into movement, with rate eta, coefficient mu and d = -sign * u."""

    NONE = "none"
    """w <- w + eta d"""
    HEAVY_BALL = "heavy-ball"
    """m <- mu m + eta d;  w <- w + m"""
    NESTEROV = "nesterov"
    """m <- mu m + eta d;  w <- w + m + eta d"""


@dataclass(frozen=True)
class Edge:
    """One input of one node, perhaps scaled by a decay function."""

    source: Source
    decay: Decay | None = None

    def __post_init__(self) -> None:
        if isinstance(self.source, str) and self.source not in OPERANDS:
            raise GenomeError(
                f"there is no operand {self.source!r}; choose among {', '.join(OPERANDS)}"
            )


@dataclass(frozen=True)
class Node:
    """One operator and its inputs, in order."""

    operator: str
    edges: tuple[Edge, ...]

    def __post_init__(self) -> None:
        if self.operator not in ARITY:
            raise GenomeError(
                f"there is no operator {self.operator!r}; choose among {', '.join(ARITY)}"
            )
        if len(self.edges) != ARITY[self.operator]:
            raise GenomeError(
                f"the operator {self.operator!r} takes {ARITY[self.operator]} input(s), "
                f"got {len(self.edges)}"
            )

    @property
    def sources(self) -> tuple[Source, ...]:
        """Where its inputs come from, in order."""
        return tuple(edge.source for edge in self.edges)

    @property
    def hidden_sources(self) -> tuple[int, ...]:
        """The hidden nodes among its inputs, in order."""
        return tuple(edge.source for edge in self.edges if isinstance(edge.source, int))


@dataclass(frozen=True)
class Genome:
    """A candidate optimizer.

    Args:
        root: The node whose value is the update.
        hidden: Up to five hidden nodes. Only those that the root reaches take part; the others
            are dormant material for mutation.
        momentum: How the update turns into movement.
        sign: +1 moves against the update, -1 along it. The integrity check decides it.

    Raises:
        GenomeError: too many hidden nodes, an unknown source, or a cycle that the root reaches.
    """

    root: Node
    hidden: tuple[Node, ...] = ()
    momentum: Momentum = Momentum.NONE
    sign: int = 1

    def __post_init__(self) -> None:
        if len(self.hidden) > MAX_HIDDEN:
            raise GenomeError(
                f"a genome has at most {MAX_HIDDEN} hidden nodes, got {len(self.hidden)}"
            )
        if self.sign not in (1, -1):
            raise GenomeError(f"the sign of a genome is 1 or -1, got {self.sign!r}")
        for node in (*self.hidden, self.root):
            for index in node.hidden_sources:
                if not 0 <= index < len(self.hidden):
                    raise GenomeError(
                        f"an edge comes from hidden node {index}, but the genome has "
                        f"{len(self.hidden)}, counted from 0"
                    )
        _ = self.order

    @functools.cached_property
    def order(self) -> tuple[int, ...]:
        """Indices of the hidden nodes that the root reaches, inputs before their users."""
        done: list[int] = []
        open_: set[int] = set()

        def visit(index: int) -> None:
            if index in open_:
                raise GenomeError(f"the update graph has a cycle through hidden node {index}")
            if index in done:
                return
            open_.add(index)
            for source in self.hidden[index].hidden_sources:
                visit(source)
            open_.remove(index)
            done.append(index)

        for source in self.root.hidden_sources:
            visit(source)
        return tuple(done)

    @property
    def active(self) -> tuple[Node, ...]:
        """The nodes that take part, inputs before their users, the root last."""
        return (*(self.hidden[index] for index in self.order), self.root)

    def decays(self) -> tuple[Decay, ...]:
        """The different decay functions that take part, in the order of :attr:`active`."""
        found = (edge.decay for node in self.active for edge in node.edges)
        return tuple(dict.fromkeys(decay for decay in found if decay is not None))

    def with_sign(self, sign: int) -> Genome:
        """The same genome with the given sign."""
        return self if sign == self.sign else dataclasses.replace(self, sign=sign)

    @staticmethod
    def parse(text: str) -> Genome:
        """Read the log's notation, such as ``Nest ~ bessel_i1e(arctan([(a13)*(a2)][g]))``.

        Equal sub-expressions become one shared node. Text does not tell the sign: it is +1.

        Raises:
            GenomeError: the text is no genome (for a syntax error: position, token, expectation).
        """
        from evoptim.genome.text import parse

        return parse(text)

    def __str__(self) -> str:
        from evoptim.genome.text import write

        return write(self)

    def to_latex(self) -> str:
        """The update and the movement in LaTeX, decays written as d_1(t), d_2(t), …"""
        from evoptim.genome.latex import write

        return write(self)

    def to_json(self) -> dict[str, Any]:
        """JSON values of the versioned format (:mod:`evoptim.genome.document`)."""
        from evoptim.genome.document import to_json

        return to_json(self)

    @staticmethod
    def from_json(document: str | bytes | Mapping[str, Any]) -> Genome:
        """Read what :meth:`to_json` wrote, as text or as JSON values.

        Raises:
            GenomeError: with the path of the offending field, its value and what was expected.
        """
        from evoptim.genome.document import from_json

        return from_json(document)

    def canonical(self) -> Genome:
        """The one genome that stands for all that compute the same in an obvious way.

        See :mod:`evoptim.genome.canonical` for the rules.
        """
        from evoptim.genome.canonical import canonical

        return canonical(self)

    @functools.cached_property
    def id(self) -> str:
        """Content id: the first 16 hexadecimal digits of a SHA-256 of the canonical form."""
        from evoptim.genome.canonical import content_id

        return content_id(self)

    def state_slots(self) -> tuple[StateSlot, ...]:
        """The tensors that the optimizer keeps for every weight tensor, each of its shape."""
        from evoptim.genome.state import state_slots

        return state_slots(self)


@dataclass(frozen=True)
class StateSlot:
    """One tensor of the shape of the weights."""

    name: str
    """Key in the optimizer's state."""
    meaning: str
    """What it holds."""
