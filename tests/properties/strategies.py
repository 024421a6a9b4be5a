"""Random genomes: drawn through evoptim's sampler, and crafted to meet the rules of equality."""

from __future__ import annotations

from random import Random

from hypothesis import strategies as st

from evoptim.config import SamplingProbabilities
from evoptim.decay import Decay, DecayNode
from evoptim.genome import MAX_HIDDEN, Edge, Genome, Momentum, Node, Source
from evoptim.operators import ARITY
from evoptim.sampling import sample_genome

# Twice as many decays as in a search, so that rules about them are met often.
_RICH = SamplingProbabilities(edge_decay=0.4, hidden_unary=0.6, operand_input=0.6)


def genomes() -> st.SearchStrategy[Genome]:
    """Genomes with dormant nodes, decays, dropout, all momentum types and both signs."""

    def build(seed: int, sign: int) -> Genome:
        return sample_genome(Random(seed), _RICH).with_sign(sign)

    return st.builds(build, st.integers(0, 2**32), st.sampled_from([1, -1]))


# Few operators and operands, so that equal sub-expressions, chains of identities and negations,
# and commutative nodes meet one another; one each of what keeps state, draws and mixes elements.
_OPERATORS = (
    "identity", "identity", "neg", "neg", "neg", "add", "mul", "max", "sub", "div",
    "delta_change", "drop50", "norm_clip", "softsign", "inv_one_plus_abs",
)  # fmt: skip
_OPERANDS = ("g", "v hat", "1", "10-3w")
DECAYS = (
    Decay(DecayNode("tanh", ("a1",))),
    Decay(DecayNode("max", ("a6", "a10"))),
    Decay(DecayNode("max", ("a10", "a6"))),
    Decay(DecayNode("identity", ("h",)), DecayNode("tanh", ("a1",))),
    Decay(DecayNode("tanh", ("h",)), DecayNode("identity", ("a1",))),
    Decay(DecayNode("tanh", ("a1",)), DecayNode("erf", ("a2",))),
    Decay(DecayNode("mul", ("h", "a3")), DecayNode("min", ("a13", "a5"))),
)


@st.composite
def crafted_genomes(draw: st.DrawFn, max_hidden: int = MAX_HIDDEN) -> Genome:
    """Genomes whose hidden nodes read operands and one another, in any numbering."""
    count = draw(st.integers(0, max_hidden))
    place = draw(st.permutations(range(count)))

    def node(reads: int) -> Node:
        operator = draw(st.sampled_from(_OPERATORS))
        sources: list[Source] = [*_OPERANDS[:2], *place[:reads], *place[:reads]]
        rare: list[Source] = list(_OPERANDS)
        edges = tuple(
            Edge(
                draw(st.sampled_from(sources) | st.sampled_from(rare)),
                draw(st.none() | st.sampled_from(DECAYS)),
            )
            for _ in range(ARITY[operator])
        )
        return Node(operator, edges)

    hidden = {place[position]: node(position) for position in range(count)}
    return Genome(
        node(count),
        tuple(hidden[index] for index in range(count)),
        draw(st.sampled_from(Momentum)),
        draw(st.sampled_from([1, -1])),
    )
