"""Random genomes, decays and inputs, drawn through evoptim's own sampler and hand-made changes."""

from __future__ import annotations

from random import Random

from hypothesis import strategies as st

from evoptim.config import SamplingProbabilities
from evoptim.genome import Genome
from evoptim.sampling import sample_genome

# Twice as many decays as in a search, so that rules about them are met often.
_RICH = SamplingProbabilities(edge_decay=0.4, hidden_unary=0.6, operand_input=0.6)


def genomes() -> st.SearchStrategy[Genome]:
    """Genomes with dormant nodes, decays, dropout, all momentum types and both signs."""

    def build(seed: int, sign: int) -> Genome:
        return sample_genome(Random(seed), _RICH).with_sign(sign)

    return st.builds(build, st.integers(0, 2**32), st.sampled_from([1, -1]))
