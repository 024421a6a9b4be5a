"""Draws decay functions. Source: Morgan & Hougen, arXiv 2404.06679."""

from __future__ import annotations

from random import Random

from evoptim.config import DecaySampling
from evoptim.decay import DECAY_BINARY, DECAY_UNARY, HIDDEN, PRIMITIVES, Decay, DecayNode
from evoptim.sampling.draw import chance, choose, first_legal


def sample_decay(rng: Random, how: DecaySampling) -> Decay:
    """A decay function that stays within [0, 1]."""
    return first_legal(
        rng, lambda r: raw_decay(r, how), lambda decay: decay.in_range, "decay function"
    )


def raw_decay(rng: Random, how: DecaySampling) -> Decay:
    """A decay function, in range or not."""
    hidden = sample_decay_hidden(rng, how)
    if chance(rng, how.unary):
        forced = chance(rng, how.hidden)
        source = HIDDEN if forced else _root_input(rng, how)
        return Decay(DecayNode(rng.choice(list(DECAY_UNARY)), (source,)), hidden)
    operator = rng.choice(list(DECAY_BINARY))
    if chance(rng, how.hidden):
        inputs = (HIDDEN, _primitive(rng, how))
        return Decay(DecayNode(operator, inputs if chance(rng, 0.5) else inputs[::-1]), hidden)
    first = _root_input(rng, how)
    return Decay(DecayNode(operator, (first, _primitive(rng, how, other_than=first))), hidden)


def sample_decay_hidden(rng: Random, how: DecaySampling) -> DecayNode:
    """The hidden node of a decay function: one or two different primitives."""
    first = _primitive(rng, how)
    if chance(rng, how.unary):
        return DecayNode(rng.choice(list(DECAY_UNARY)), (first,))
    second = _primitive(rng, how, other_than=first)
    return DecayNode(rng.choice(list(DECAY_BINARY)), (first, second))


def _root_input(rng: Random, how: DecaySampling) -> str:
    return choose(rng, (*PRIMITIVES, HIDDEN), how.primitives)


def _primitive(rng: Random, how: DecaySampling, other_than: str | None = None) -> str:
    return choose(rng, (name for name in PRIMITIVES if name != other_than), how.primitives)
