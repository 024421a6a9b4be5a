"""The genome of an optimizer: an immutable value with text, JSON, LaTeX and a content id."""

from evoptim.genome.document import json_schema
from evoptim.genome.graph import (
    MAX_HIDDEN,
    Edge,
    Genome,
    GenomeError,
    Momentum,
    Node,
    Source,
    StateSlot,
)
from evoptim.genome.text import GenomeSyntaxError

__all__ = [
    "MAX_HIDDEN",
    "Edge",
    "Genome",
    "GenomeError",
    "GenomeSyntaxError",
    "Momentum",
    "Node",
    "Source",
    "StateSlot",
    "json_schema",
]
