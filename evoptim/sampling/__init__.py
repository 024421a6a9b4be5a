"""The initial distribution over genomes, and draws from an explicit generator."""

from evoptim.sampling.decay import sample_decay, sample_decay_hidden
from evoptim.sampling.draw import chance, choose, generator, possible
from evoptim.sampling.genome import (
    sample_binary,
    sample_genome,
    sample_hidden,
    sample_operand,
    sample_unary,
)

__all__ = [
    "chance",
    "choose",
    "generator",
    "possible",
    "sample_binary",
    "sample_decay",
    "sample_decay_hidden",
    "sample_genome",
    "sample_hidden",
    "sample_operand",
    "sample_unary",
]
