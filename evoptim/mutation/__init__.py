"""Mutation: the only way in which a line of descent changes."""

from evoptim.mutation.legal import is_legal
from evoptim.mutation.mutate import Mutant, mutate, with_dormant_nodes

__all__ = ["Mutant", "is_legal", "mutate", "with_dormant_nodes"]
