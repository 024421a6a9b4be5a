"""What is exported: a formula, what it is called, and what there is to say about it."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass

import torch

from evoptim import zoo
from evoptim.genome import Genome
from evoptim.update import Formula, genome_formula

_PAPER = "Morgan & Hougen, arXiv 2404.06679"
_SWEEP = "Rates near 1 are common among evolved rules: try powers of ten from 1e-3 to 10."


@dataclass(frozen=True)
class Subject:
    """One optimizer to export."""

    name: str
    """What it is called, before it is made a class or a function."""
    formula: Formula
    summary: str
    """One sentence."""
    description: str
    """Paragraphs about it, other than what the formula itself tells."""
    provenance: str
    source: str
    """The paper behind it."""
    use: str = ""
    """Recommended rate."""
    rate: float = 0.1
    """The rate of the example."""

    @property
    def genome(self) -> Genome | None:
        """The genome whose update the formula computes, where there is one."""
        found = getattr(self.formula.direction, "genome", None)
        return found if isinstance(found, Genome) else None


def zoo_subject(zoo_name: str, decay: bool) -> Subject:
    """An optimizer of the zoo, with or without its decays.

    Raises:
        InputError: there is no such optimizer.
    """
    optimizer = zoo.create(zoo_name, [torch.zeros(1)], lr=1.0, total_steps=8, decay=decay)
    name = type(optimizer).__name__
    text = inspect.getdoc(type(optimizer)) or ""
    return Subject(
        name=name,
        formula=optimizer.formula,
        summary=f"{name} of evoptim's zoo, decay={decay}.",
        description=re.sub(r":(?:class|mod|func|math):`([^`]*)`", r"\1", text),
        provenance=f"evoptim's zoo, zoo.create({zoo_name.lower()!r}, decay={decay})",
        source="" if "Source:" in text else _PAPER,
    )


def genome_subject(genome: Genome, origin: str = "", rate: float | None = None) -> Subject:
    """An optimizer that a genome describes.

    Args:
        genome: the update rule.
        origin: where it was found, such as ``rank 1 of the run quickstart-s0``.
        rate: the learning rate that was found for it.
    """
    return Subject(
        name=f"Evolved{genome.id[:8]}",
        formula=genome_formula(genome),
        summary=f"The evolved optimizer {genome.id}.",
        description="",
        provenance=", ".join(filter(None, (origin, f"genome {genome.id}"))),
        source=f"the search space of {_PAPER}",
        use=_SWEEP if rate is None else f"The search trained it at the peak rate {rate:g}.",
        rate=0.1 if rate is None else rate,
    )
