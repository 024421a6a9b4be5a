"""The gene that evoptim evolves: the optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from evoptim.config import MutationProbabilities, SamplingProbabilities
from evoptim.genome import Genome
from evoptim.mutation import is_legal, mutate
from evoptim.records import Integrity
from evoptim.sampling import sample_genome


@dataclass(frozen=True)
class OptimizerGene:
    """Genomes, drawn and mutated with the given probabilities; see :class:`.gene.Gene`."""

    sampling: SamplingProbabilities
    mutation: MutationProbabilities
    fingerprints: bool = False
    """Whether genomes that compute the same update are to be recognised."""

    def sample(self, rng: Random) -> Genome:
        return sample_genome(rng, self.sampling)

    def mutate(self, value: Genome, rng: Random) -> tuple[Genome, str]:
        mutant = mutate(value, rng, self.mutation, self.sampling)
        return mutant.genome, mutant.change

    def admit(self, value: Genome) -> tuple[Genome, Integrity] | None:
        """The integrity check decides the sign; it is never inherited."""
        # Selection imports this package, too, and needs no torch.
        from evoptim.integrity import check_integrity

        if not is_legal(value):
            return None
        result = check_integrity(value)
        if not result.passes or result.rate is None or result.loss is None:
            return None
        return value.with_sign(result.sign), Integrity(rate=result.rate, loss=result.loss)

    def identity(self, value: Genome) -> str:
        return value.id

    def fingerprint(self, value: Genome) -> str | None:
        if not self.fingerprints:
            return None
        from evoptim.fingerprint import fingerprint

        return fingerprint(value)

    def formula(self, value: Genome) -> str:
        return str(value)

    def to_json(self, value: Genome) -> dict[str, Any]:
        return value.to_json()

    def from_json(self, document: Mapping[str, Any]) -> Genome:
        return Genome.from_json(document)
