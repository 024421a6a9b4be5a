"""Genomes as text: ``<momentum> ~ <expression>``, the notation of the paper's log."""

from __future__ import annotations

from types import MappingProxyType

from evoptim.decay import DECAY_GRAMMAR, Decay
from evoptim.errors import InputError
from evoptim.expression import ExpressionError, Grammar, Input, Term
from evoptim.genome.graph import MAX_HIDDEN, Edge, Genome, GenomeError, Momentum, Node, Source
from evoptim.operands import OPERANDS
from evoptim.operators import BINARY, UNARY

MOMENTUM_NAMES: MappingProxyType[Momentum, str] = MappingProxyType(
    {Momentum.NONE: "None", Momentum.HEAVY_BALL: "Mom", Momentum.NESTEROV: "Nest"}
)
"""How the log writes each momentum type."""

UPDATE_GRAMMAR = Grammar(
    "optimizer",
    {name: row.symbol for name, row in UNARY.items()}
    | {name: row.symbol for name, row in BINARY.items()},
    tuple(OPERANDS),
    factors=DECAY_GRAMMAR,
)

_SEPARATOR = " ~ "


class GenomeSyntaxError(GenomeError, ExpressionError):
    """Text that is no genome; ``position`` counts from the start of the whole text."""

    def __init__(self, text: str, position: int, expected: tuple[str, ...]) -> None:
        ExpressionError.__init__(self, "optimizer", text, position, expected)


def parse(text: str) -> Genome:
    """See :meth:`evoptim.genome.Genome.parse`."""
    name, separator, expression = text.partition(_SEPARATOR)
    momentum = next((each for each, known in MOMENTUM_NAMES.items() if known == name), None)
    if not separator or momentum is None:
        known = tuple(repr(known + _SEPARATOR) for known in MOMENTUM_NAMES.values())
        raise GenomeSyntaxError(text, 0, known)
    start = len(name + separator)
    try:
        parsed = UPDATE_GRAMMAR.parse(expression)
    except ExpressionError as error:
        raise GenomeSyntaxError(text, error.position + start, error.expected) from None
    except InputError as error:
        raise GenomeError(str(error)) from None
    return _Builder().genome(parsed, momentum)


class _Builder:
    """Folds a parsed text into shared nodes."""

    def __init__(self) -> None:
        self.index: dict[Node, int] = {}

    def genome(self, parsed: Input, momentum: Momentum) -> Genome:
        if parsed.factor is not None:
            raise GenomeError(
                "a decay scales an input of an operator, not the whole update: write 'id(…)'"
            )
        if not isinstance(parsed.of, Term):
            raise GenomeError(
                f"an optimizer applies at least one operator: "
                f"write 'id({parsed.of})' for {parsed.of!r}"
            )
        root = self.node(parsed.of)
        if len(self.index) > MAX_HIDDEN:
            raise GenomeError(
                f"a genome has at most {MAX_HIDDEN} hidden nodes and a root, "
                f"got {len(self.index)} different sub-expressions below the root"
            )
        return Genome(root, tuple(self.index), momentum)

    def node(self, term: Term) -> Node:
        return Node(term.operator, tuple(self.edge(each) for each in term.inputs))

    def edge(self, each: Input) -> Edge:
        decay = None if each.factor is None else _decay(each.factor)
        if isinstance(each.of, str):
            return Edge(each.of, decay)
        node = self.node(each.of)
        return Edge(self.index.setdefault(node, len(self.index)), decay)


def _decay(term: Input) -> Decay:
    try:
        return Decay.from_term(term)
    except InputError as error:
        raise GenomeError(str(error)) from None


def write(genome: Genome) -> str:
    """The text that :func:`parse` reads; shared nodes are written out once for every use."""

    def edge(of: Edge) -> Input:
        factor = None if of.decay is None else of.decay.to_term()
        return Input(_term(of.source), factor)

    def _term(source: Source) -> str | Term:
        return source if isinstance(source, str) else node(genome.hidden[source])

    def node(of: Node) -> Term:
        return Term(of.operator, tuple(edge(each) for each in of.edges))

    return (
        MOMENTUM_NAMES[genome.momentum]
        + _SEPARATOR
        + UPDATE_GRAMMAR.write(Input(node(genome.root)))
    )
