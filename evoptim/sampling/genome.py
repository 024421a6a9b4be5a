"""Draws genomes from the initial distribution. Source: Morgan & Hougen, arXiv 2404.06679.

The sign is always +1 here: the integrity check decides it.
"""

from __future__ import annotations

from random import Random

from evoptim.config import SamplingProbabilities
from evoptim.decay import Decay
from evoptim.genome import MAX_HIDDEN, Edge, Genome, GenomeError, Momentum, Node, Source
from evoptim.operands import OPERANDS
from evoptim.operators import BINARY, UNARY
from evoptim.sampling.decay import sample_decay
from evoptim.sampling.draw import chance, choose, first_legal

_ALL_HIDDEN = tuple(range(MAX_HIDDEN))


def sample_genome(rng: Random, how: SamplingProbabilities) -> Genome:
    """A genome with five hidden nodes, dormant ones included, whose active part has no cycle.

    Raises:
        InputError: under these probabilities next to every draw has a cycle.
    """
    # The paper draws the whole genome again too (about 2 % of draws have a cycle).
    return first_legal(rng, lambda r: raw_genome(r, how), lambda _: True, "genome")


def raw_genome(rng: Random, how: SamplingProbabilities) -> Genome | None:
    """A genome, or None where the draw has a cycle."""
    hidden = tuple(sample_hidden(rng, how, index) for index in _ALL_HIDDEN)
    root = _root(rng, how)
    momentum = Momentum(choose(rng, how.momentum, how.momentum))
    try:
        return Genome(root, hidden, momentum)
    except GenomeError:
        return None


def sample_hidden(rng: Random, how: SamplingProbabilities, index: int) -> Node:
    """The hidden node at ``index``; it never reads itself, but may read any other."""
    others = [other for other in _ALL_HIDDEN if other != index]
    first: Source = (
        sample_operand(rng, how) if chance(rng, how.operand_input) else rng.choice(others)
    )
    if chance(rng, how.hidden_unary):
        return Node(sample_unary(rng, how), (_edge(rng, how, first),))
    second: Source = (
        sample_operand(rng, how, other_than=first)
        if chance(rng, how.operand_input)
        else rng.choice([other for other in others if other != first])
    )
    edges = (_edge(rng, how, first), _edge(rng, how, second))
    return Node(sample_binary(rng, how), edges)


def _root(rng: Random, how: SamplingProbabilities) -> Node:
    """The root; at least one of its inputs is a hidden node."""
    if chance(rng, how.root_unary):
        edge = Edge(rng.choice(_ALL_HIDDEN), _decay(rng, how, how.root_unary_edge_decay))
        return Node(sample_unary(rng, how), (edge,))
    first: Source
    second: Source
    if chance(rng, how.operand_input):
        first, second = sample_operand(rng, how), rng.choice(_ALL_HIDDEN)
    else:
        first = rng.choice(_ALL_HIDDEN)
        second = (
            sample_operand(rng, how)
            if chance(rng, how.operand_input)
            else rng.choice([other for other in _ALL_HIDDEN if other != first])
        )
    edges = (_edge(rng, how, first), _edge(rng, how, second))
    return Node(sample_binary(rng, how), edges)


def sample_unary(rng: Random, how: SamplingProbabilities) -> str:
    """A unary operator's name."""
    if chance(rng, how.identity):
        return "identity"
    return choose(rng, (name for name in UNARY if name != "identity"), how.unary)


def sample_binary(rng: Random, how: SamplingProbabilities) -> str:
    """A binary operator's name."""
    return choose(rng, BINARY, how.binary)


def sample_operand(
    rng: Random, how: SamplingProbabilities, other_than: Source | None = None
) -> str:
    """An operand's name."""
    return choose(rng, (name for name in OPERANDS if name != other_than), how.operands)


def _edge(rng: Random, how: SamplingProbabilities, source: Source) -> Edge:
    return Edge(source, _decay(rng, how, how.edge_decay))


def _decay(rng: Random, how: SamplingProbabilities, probability: float) -> Decay | None:
    return sample_decay(rng, how.decay) if chance(rng, probability) else None
