"""Drives a mutation: which node, which kind, until something applies."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from random import Random

from evoptim.config import MutationProbabilities, SamplingProbabilities
from evoptim.errors import InputError
from evoptim.genome import MAX_HIDDEN, Genome
from evoptim.mutation.changes import (
    Odds,
    change_arity,
    change_connection,
    change_decay,
    change_momentum,
    change_operator,
)
from evoptim.mutation.legal import ROOT, is_legal
from evoptim.sampling import choose, sample_hidden


@dataclass(frozen=True)
class Mutant:
    """A changed genome. Its sign is +1 until the integrity check decides it: never inherited."""

    genome: Genome
    kind: str
    """operator, connection, arity, momentum or decay."""
    change: str
    """What changed, in words."""


_ATTEMPTS = 5_000
"""Far more than any mutation needs that is possible at all."""

_KINDS = {
    "operator": change_operator,
    "connection": change_connection,
    "arity": change_arity,
    "momentum": change_momentum,
    "decay": change_decay,
}


def mutate(
    genome: Genome,
    rng: Random,
    mutation: MutationProbabilities | None = None,
    sampling: SamplingProbabilities | None = None,
) -> Mutant:
    """A legal genome one mutation away from ``genome``, never with a cycle.

    A genome with fewer than five hidden nodes is first given dormant ones, freshly drawn, so
    that connections have somewhere to go.

    Raises:
        InputError: the probabilities leave nothing to change.
    """
    odds = Odds(mutation or MutationProbabilities(), sampling or SamplingProbabilities())
    parent = with_dormant_nodes(genome, rng, odds.sampling).with_sign(1)
    text = str(parent)
    weights = {kind: getattr(odds.mutation, kind) for kind in _KINDS}
    for _ in range(_ATTEMPTS):
        at = rng.choice([*parent.order, ROOT])
        kind = choose(rng, _KINDS, weights)
        changed = _KINDS[kind](parent, at, rng, odds)
        # Two equal inputs that change places, or one replaced by its like, are no mutation.
        if changed is not None and is_legal(changed[0]) and str(changed[0]) != text:
            return Mutant(changed[0], kind, changed[1])
    raise InputError(
        f"no mutation of {parent} is possible: {_ATTEMPTS} attempts gave nothing legal (every "
        "decay within [0, 1], a hidden node among the root's inputs) and new; give more weight"
        " to other kinds in search.mutation, or allow more in search.sampling"
    )


def with_dormant_nodes(genome: Genome, rng: Random, how: SamplingProbabilities) -> Genome:
    """``genome`` with five hidden nodes; the new ones take no part until a mutation reads them."""
    new = (sample_hidden(rng, how, index) for index in range(len(genome.hidden), MAX_HIDDEN))
    return dataclasses.replace(genome, hidden=(*genome.hidden, *new))
