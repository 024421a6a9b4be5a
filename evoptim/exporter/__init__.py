"""Source files of an optimizer for people who do not have evoptim: torch, or jax and optax."""

from evoptim.exporter.source import TARGETS, optax_source, source, torch_source
from evoptim.exporter.subject import Subject, genome_subject, zoo_subject

__all__ = [
    "TARGETS",
    "Subject",
    "genome_subject",
    "optax_source",
    "source",
    "torch_source",
    "zoo_subject",
]
