"""A gene over whole numbers, which shows that the genetic algorithm asks nothing of optimizers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from sample_run import evaluation

from evoptim.errors import InputError
from evoptim.evolution import Gene, propose_initial
from evoptim.records import Candidate, Evaluation, Integrity, Particle, Population


@dataclass(frozen=True)
class ToyGene:
    """Numbers from 0 to ``size`` - 1. Multiples of 7 fail; others enter the search as even ones.

    ``reach``: how far a mutation goes.
    """

    size: int = 10**9
    reach: int = 10**6

    def sample(self, rng: Random) -> int:
        return rng.randrange(self.size)

    def mutate(self, value: int, rng: Random) -> tuple[int, str]:
        step = rng.randint(1, self.reach)
        return (value + step) % self.size, f"plus {step}"

    def admit(self, value: int) -> tuple[int, Integrity] | None:
        if value % 7 == 0:
            return None
        return value - value % 2, Integrity(rate=0.1, loss=float(value))

    def identity(self, value: int) -> str:
        return f"id-{value}"

    def fingerprint(self, value: int) -> str | None:
        return None

    def formula(self, value: int) -> str:
        return f"the number {value}"

    def to_json(self, value: int) -> dict[str, Any]:
        return {"number": value}

    def from_json(self, document: dict[str, Any]) -> int:
        number = document.get("number")
        if not isinstance(number, int):
            raise InputError(f"a toy gene is a number, got {document!r}")
        return number


GENE: Gene[int] = ToyGene()


def population(*numbers: int, generation: int = 0, fitness: float | None = 0.5) -> Population:
    """Particles that stand at these numbers."""
    return Population(
        generation=generation,
        particles=tuple(
            Particle(
                particle=place,
                id=GENE.identity(number),
                formula=GENE.formula(number),
                gene=GENE.to_json(number),
                fitness=fitness,
                validation_loss=0.3,
                generation=generation,
            )
            for place, number in enumerate(numbers)
        ),
    )


def candidates(count: int) -> tuple[Candidate, ...]:
    """Initial candidates."""
    return tuple(propose_initial(GENE, 0, count))


Score = float | tuple[float, float] | None
"""A fitness, or a fitness and a validation loss; None for a failed evaluation."""


def evaluations(
    proposed: Sequence[Candidate], scores: Mapping[int, Score]
) -> dict[int, Evaluation]:
    """Evaluations by candidate index; an index without a score has none."""
    records = {}
    for index, score in scores.items():
        fitness, loss = score if isinstance(score, tuple) else (score, 0.3)
        subject = proposed[index].id
        records[index] = evaluation(subject, "protocol", fitness, loss=loss, epochs=0)
    return records
