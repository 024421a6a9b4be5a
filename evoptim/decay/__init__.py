"""Decay functions: learned functions of training progress on the edges of the update graph."""

from evoptim.decay.function import DECAY_GRAMMAR, HIDDEN, Decay, DecayNode
from evoptim.decay.operators import DECAY_ARITY, DECAY_BINARY, DECAY_OPERATORS, DECAY_UNARY
from evoptim.decay.primitives import PRIMITIVES

__all__ = [
    "DECAY_ARITY",
    "DECAY_BINARY",
    "DECAY_GRAMMAR",
    "DECAY_OPERATORS",
    "DECAY_UNARY",
    "HIDDEN",
    "PRIMITIVES",
    "Decay",
    "DecayNode",
]
