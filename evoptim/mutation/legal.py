"""Is it legal? What a mutation may connect, and what a genome must be to enter the search."""

from __future__ import annotations

from evoptim.genome import Genome, Node

ROOT = -1
"""Stands for the root where hidden nodes are named by their index."""


def node_at(genome: Genome, at: int) -> Node:
    """The root or a hidden node."""
    return genome.root if at == ROOT else genome.hidden[at]


def reach(genome: Genome, start: int) -> frozenset[int] | None:
    """Hidden nodes that ``start`` depends on, itself included; None if they form a cycle."""
    done: set[int] = set()
    open_: set[int] = set()

    def visit(index: int) -> bool:
        if index in done:
            return True
        if index in open_:
            return False
        open_.add(index)
        acyclic = all(visit(source) for source in genome.hidden[index].hidden_sources)
        open_.remove(index)
        done.add(index)
        return acyclic

    return frozenset(done) if visit(start) else None


def connectable_hidden(genome: Genome, at: int) -> list[int]:
    """Hidden nodes that the node ``at`` may read without a cycle and does not read yet."""
    allowed = []
    for index in range(len(genome.hidden)):
        reached = reach(genome, index)
        if reached is not None and at not in reached and index not in node_at(genome, at).sources:
            allowed.append(index)
    return allowed


def is_legal(genome: Genome) -> bool:
    """Whether every decay that takes part stays within [0, 1] and the root reads a hidden node.

    (A genome cannot be built with a cycle in the first place.) The root's hidden input is the
    initial distribution's rule; it keeps single-operand rules out of the search.
    """
    return bool(genome.root.hidden_sources) and all(decay.in_range for decay in genome.decays())
