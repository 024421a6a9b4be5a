"""How a decay function changes. Source: Morgan & Hougen, arXiv 2404.06679.

Unlike in their program a change is refused where the function leaves [0, 1].
"""

from __future__ import annotations

import dataclasses
import math
from random import Random

from evoptim.config import DecayMutation, DecaySampling
from evoptim.decay import DECAY_ARITY, DECAY_BINARY, DECAY_UNARY, HIDDEN, Decay, DecayNode
from evoptim.decay.function import RANGE_STEPS
from evoptim.decay.primitives import PRIMITIVES
from evoptim.sampling import chance, choose, possible, sample_decay_hidden

MIN_DIFFERENCE = 1e-4
"""L2 distance over 100 steps below which two decay functions count as the same."""

_ATTEMPTS = 200


def mutate_decay(
    decay: Decay, rng: Random, odds: DecayMutation, how: DecaySampling
) -> Decay | None:
    """Another decay function within [0, 1], one change away; None if none was found."""
    for _ in range(_ATTEMPTS):
        changed = _change(decay, rng, odds, how)
        if changed is not None and changed.in_range and _differs(decay, changed):
            return changed
    return None


def _differs(old: Decay, new: Decay) -> bool:
    distance = math.dist(old.values(RANGE_STEPS), new.values(RANGE_STEPS))
    return str(old) != str(new) and distance > MIN_DIFFERENCE


def _change(decay: Decay, rng: Random, odds: DecayMutation, how: DecaySampling) -> Decay | None:
    at_root = not decay.uses_hidden or chance(rng, 0.5)
    node = decay.root if at_root or decay.hidden is None else decay.hidden
    weights = {_operator: odds.operator, _connection: odds.connection, _arity: odds.arity}
    free = [name for name in possible(PRIMITIVES, how.primitives) if name not in node.inputs]
    if at_root and HIDDEN not in node.inputs:
        free.append(HIDDEN)
    changed = choose(rng, weights, weights)(node, free, rng, odds)
    if changed is None:
        return None
    if not at_root:
        return dataclasses.replace(decay, hidden=changed)
    hidden = decay.hidden
    if HIDDEN in changed.inputs and hidden is None:
        hidden = sample_decay_hidden(rng, how)
    return Decay(changed, hidden)


def _operator(
    node: DecayNode, free: list[str], rng: Random, odds: DecayMutation
) -> DecayNode | None:
    table = DECAY_UNARY if DECAY_ARITY[node.operator] == 1 else DECAY_BINARY
    return DecayNode(rng.choice([name for name in table if name != node.operator]), node.inputs)


def _connection(
    node: DecayNode, free: list[str], rng: Random, odds: DecayMutation
) -> DecayNode | None:
    if len(node.inputs) == 2 and chance(rng, odds.swap):
        return DecayNode(node.operator, node.inputs[::-1])
    if not free:
        return None
    inputs = list(node.inputs)
    inputs[rng.randrange(len(inputs))] = rng.choice(free)
    return DecayNode(node.operator, tuple(inputs))


def _arity(node: DecayNode, free: list[str], rng: Random, odds: DecayMutation) -> DecayNode | None:
    if len(node.inputs) == 2:
        return DecayNode(rng.choice(list(DECAY_UNARY)), (rng.choice(node.inputs),))
    if not free:
        return None
    inputs = [*node.inputs, rng.choice(free)]
    if chance(rng, 0.5):
        inputs.reverse()
    return DecayNode(rng.choice(list(DECAY_BINARY)), tuple(inputs))
