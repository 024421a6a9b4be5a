"""How a genome changes: five kinds of mutation, each a function of one node.

Each returns the changed genome and the change in words, or None where nothing applies. Source:
Morgan & Hougen, arXiv 2404.06679, with the intended meaning where their program differs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from random import Random
from typing import NamedTuple

from evoptim.config import MutationProbabilities, SamplingProbabilities
from evoptim.genome import Edge, Genome, Momentum, Node, Source
from evoptim.mutation.decay import mutate_decay
from evoptim.mutation.legal import ROOT, connectable_hidden, node_at
from evoptim.operands import OPERANDS
from evoptim.operators import BINARY, UNARY
from evoptim.sampling import (
    chance,
    choose,
    possible,
    sample_binary,
    sample_decay,
    sample_unary,
)


class Odds(NamedTuple):
    """How often: of the mutation itself, and of what it draws anew."""

    mutation: MutationProbabilities
    sampling: SamplingProbabilities


Changed = tuple[Genome, str]


def change_operator(genome: Genome, at: int, rng: Random, odds: Odds) -> Changed | None:
    """Another operator of the same arity."""
    node = node_at(genome, at)
    symbols: Mapping[str, str]
    if node.operator in BINARY:
        symbols = {name: row.symbol for name, row in BINARY.items()}
        others = [name for name in possible(BINARY, odds.sampling.binary) if name != node.operator]
        weights = odds.sampling.binary
    else:
        symbols = {name: row.symbol for name, row in UNARY.items()}
        others = [
            name
            for name in possible(UNARY, odds.sampling.unary)
            if name not in (node.operator, "identity")
        ]
        weights = odds.sampling.unary
        if node.operator != "identity" and chance(rng, odds.mutation.to_identity):
            others = ["identity"]
            weights = {}
    if not others:
        return None
    operator = choose(rng, others, weights)
    words = f"operator {symbols[node.operator]} becomes {symbols[operator]}"
    return _replace(genome, at, Node(operator, node.edges)), words


def change_connection(genome: Genome, at: int, rng: Random, odds: Odds) -> Changed | None:
    """Another input, or the two inputs change places. A replaced edge leaves no decay behind."""
    node = node_at(genome, at)
    if len(node.edges) == 2 and chance(rng, odds.mutation.swap):
        return _replace(genome, at, Node(node.operator, node.edges[::-1])), "inputs change places"
    place = rng.randrange(len(node.edges))
    new: list[Source] = [*connectable_hidden(genome, at)]
    # The root must keep a hidden input: its last one gives way only to another.
    if at != ROOT or node.hidden_sources != (node.edges[place].source,):
        new = [*_free_operands(node, odds), *new]
    if not new:
        return None
    source = rng.choice(new)
    words = f"input {_name(genome, node.edges[place].source)} becomes {_name(genome, source)}"
    edges = list(node.edges)
    edges[place] = Edge(source)
    return _replace(genome, at, Node(node.operator, tuple(edges))), words


def change_arity(genome: Genome, at: int, rng: Random, odds: Odds) -> Changed | None:
    """A unary node gains an input and a binary operator; a binary one loses an input."""
    node = node_at(genome, at)
    if len(node.edges) == 1:
        new: list[Source] = [*_free_operands(node, odds), *connectable_hidden(genome, at)]
        if not new:
            return None
        source = rng.choice(new)
        edges = (*node.edges, Edge(source))
        operator = sample_binary(rng, odds.sampling)
        words = f"{_name(genome, source)} joins through {BINARY[operator].symbol}"
        changed = Node(operator, edges if chance(rng, 0.5) else edges[::-1])
        return _replace(genome, at, changed), words
    place = rng.randrange(2)
    if at == ROOT and len(node.hidden_sources) == 1:
        place = next(i for i, edge in enumerate(node.edges) if isinstance(edge.source, str))
    operator = sample_unary(rng, odds.sampling)
    words = f"{_name(genome, node.edges[place].source)} leaves, {UNARY[operator].symbol} takes over"
    return _replace(genome, at, Node(operator, (node.edges[1 - place],))), words


def change_momentum(genome: Genome, at: int, rng: Random, odds: Odds) -> Changed | None:
    """One of the other momentum types."""
    weights = odds.sampling.momentum
    others = [
        kind
        for kind in Momentum
        if kind is not genome.momentum and weights.get(kind.value, 0.0) > 0.0
    ]
    if not others:
        return None
    momentum = rng.choice(others)
    words = f"momentum {genome.momentum.value} becomes {momentum.value}"
    return dataclasses.replace(genome, momentum=momentum), words


def change_decay(genome: Genome, at: int, rng: Random, odds: Odds) -> Changed | None:
    """A decay function appears, changes or disappears on one input."""
    node = node_at(genome, at)
    place = rng.randrange(len(node.edges))
    edge = node.edges[place]
    where = _name(genome, edge.source)
    if edge.decay is None:
        decay = sample_decay(rng, odds.sampling.decay)
        words = f"decay [{decay}] appears on {where}"
    elif chance(rng, odds.mutation.delete_decay):
        decay = None
        words = f"decay [{edge.decay}] on {where} disappears"
    else:
        decay = mutate_decay(edge.decay, rng, odds.mutation.decay_function, odds.sampling.decay)
        if decay is None:
            return None
        words = f"decay [{edge.decay}] on {where} becomes [{decay}]"
    edges = list(node.edges)
    edges[place] = Edge(edge.source, decay)
    return _replace(genome, at, Node(node.operator, tuple(edges))), words


def _free_operands(node: Node, odds: Odds) -> list[Source]:
    allowed = possible(OPERANDS, odds.sampling.operands)
    return [name for name in allowed if name not in node.sources]


def _replace(genome: Genome, at: int, node: Node) -> Genome:
    if at == ROOT:
        return dataclasses.replace(genome, root=node)
    hidden = (*genome.hidden[:at], node, *genome.hidden[at + 1 :])
    return dataclasses.replace(genome, hidden=hidden)


def _name(genome: Genome, source: Source) -> str:
    if isinstance(source, str):
        return source
    return str(dataclasses.replace(genome, root=genome.hidden[source])).partition(" ~ ")[2]
