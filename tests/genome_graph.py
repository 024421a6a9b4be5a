"""Genomes in the plain form that the NumPy evaluation reads (see ``numpy_reference``)."""

from __future__ import annotations

from typing import Any

from evoptim.decay import DECAY_BINARY, Decay, DecayNode
from evoptim.genome import Genome, Momentum, Node, Source
from evoptim.operands import OPERANDS
from evoptim.operators import BINARY, UNARY

MOMENTUM_NAMES: dict[Momentum, Any] = {
    Momentum.NONE: "None",
    Momentum.HEAVY_BALL: "Mom",
    Momentum.NESTEROV: "Nest",
}

_FIRST_HIDDEN, _ROOT = 20, 25


def deterministic(genome: Genome) -> bool:
    """Whether no active node draws random numbers."""
    return not any(n.operator in UNARY and UNARY[n.operator].stochastic for n in genome.active)


def graph_of(genome: Genome) -> dict[str, Any]:
    """The nodes that the root reaches, as they are: no canonical form."""
    columns = list(OPERANDS)

    def column(source: Source) -> int:
        return columns.index(source) if isinstance(source, str) else _FIRST_HIDDEN + source

    def plain(index: int, node: Node) -> dict[str, Any]:
        return {
            "index": index,
            "kind": "binary" if node.operator in BINARY else "unary",
            "op": node.operator,
            "inputs": [column(source) for source in node.sources],
            "decay": [edge.decay and plain_decay(edge.decay) for edge in node.edges],
        }

    hidden = [plain(_FIRST_HIDDEN + index, genome.hidden[index]) for index in genome.order]
    return {"root": _ROOT, "nodes": [*hidden, plain(_ROOT, genome.root)]}


def plain_decay(decay: Decay) -> dict[str, Any]:
    """A decay function as the NumPy evaluation reads it."""

    def plain(node: DecayNode) -> dict[str, Any]:
        kind = "binary" if node.operator in DECAY_BINARY else "unary"
        return {"kind": kind, "op": node.operator, "inputs": list(node.inputs)}

    return {
        "hidden": plain(decay.hidden) if decay.hidden else None,
        "root": plain(decay.root),
    }
