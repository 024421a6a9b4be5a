"""Sampling and mutation frequencies against those of the authors' program, by chi-square.

Each group is a test of homogeneity of two samples: theirs (frequency x count) and ours, at a fixed
seed. The level is 0.001 over all groups and the two shares of legal draws together (Bonferroni).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Any

import pytest
from reference_data import load_json, needs_reference
from scipy.stats import chi2_contingency

from evoptim.config import SamplingProbabilities
from evoptim.decay import DECAY_UNARY
from evoptim.genome import Genome
from evoptim.mutation import mutate
from evoptim.operators import UNARY
from evoptim.sampling import generator, sample_genome
from evoptim.sampling.decay import raw_decay
from evoptim.sampling.genome import raw_genome

pytestmark = needs_reference

SAMPLES = 4_000
GROUPS = {
    "active_hidden_nodes": "samples",
    "active_decays": "samples",
    "momentum": "momentum_n",
    "active_operands": "active_operands_n",
    "root_arity": "root_arity_n",
    "active_hidden_arity": "active_hidden_arity_n",
    "hidden_binary_op": "hidden_binary_op_n",
    "hidden_binary_edge_decay": "hidden_binary_edge_decay_n",
    "hidden_binary_input": "hidden_binary_input_n",
    "hidden_unary_op": "hidden_unary_op_n",
    "hidden_unary_edge_decay": "hidden_unary_edge_decay_n",
    "hidden_unary_input": "hidden_unary_input_n",
    "root_unary_op": "root_unary_op_n",
    "root_unary_edge_decay": "root_unary_edge_decay_n",
    "root_binary_op": "root_binary_op_n",
    "root_binary_edge_decay": "root_binary_edge_decay_n",
    "root_binary_input": "root_binary_input_n",
    "decay_root_arity": "decay_root_arity_n",
    "decay_uses_hidden": "decay_uses_hidden_n",
    "decay_root_unary": "decay_root_unary_n",
    "decay_root_binary": "decay_root_binary_n",
    "mutation_kinds": "mutation_samples",
}
LEVEL = 0.001 / (len(GROUPS) + 2)
MOMENTUM = {"none": "None", "heavy-ball": "Mom", "nesterov": "Nest"}


@lru_cache(maxsize=1)
def sampled() -> tuple[Genome, ...]:
    how = SamplingProbabilities()
    return tuple(sample_genome(generator(20, index), how) for index in range(SAMPLES))


@lru_cache(maxsize=1)
def observed() -> dict[str, Counter[str]]:
    """Our counts, in the recorded groups and words."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in GROUPS}
    for genome in sampled():
        nodes = genome.active
        edges = [edge for node in nodes for edge in node.edges]
        counts["active_hidden_nodes"][str(len(nodes) - 1)] += 1
        counts["active_decays"][str(sum(edge.decay is not None for edge in edges))] += 1
        counts["momentum"][MOMENTUM[genome.momentum.value]] += 1
        operands = {edge.source for edge in edges if isinstance(edge.source, str)}
        counts["active_operands"][str(len(operands))] += 1
        for node in nodes:
            place = "root" if node is genome.root else "hidden"
            arity = "unary" if node.operator in UNARY else "binary"
            counts["root_arity" if place == "root" else "active_hidden_arity"][arity] += 1
            counts[f"{place}_{arity}_op"][node.operator] += 1
            for edge in node.edges:
                has = "no" if edge.decay is None else "yes"
                counts[f"{place}_{arity}_edge_decay"][has] += 1
                if (place, arity) != ("root", "unary"):
                    kind = "operand" if isinstance(edge.source, str) else "hidden"
                    counts[f"{place}_{arity}_input"][kind] += 1
        for edge in edges:
            if edge.decay is not None:
                root = edge.decay.root
                decay_arity = "unary" if root.operator in DECAY_UNARY else "binary"
                counts["decay_root_arity"][decay_arity] += 1
                counts["decay_uses_hidden"][str(edge.decay.uses_hidden)] += 1
                counts[f"decay_root_{decay_arity}"][root.operator] += 1
    for index, genome in enumerate(sampled()):
        kind = mutate(genome, generator(21, index)).kind
        counts["mutation_kinds"]["op" if kind == "operator" else kind] += 1
    return counts


@pytest.mark.parametrize("group", GROUPS)
def test_frequencies(group: str) -> None:
    recorded = load_json("sampling_statistics.json")
    theirs: Counter[str] = Counter()
    for word, frequency in recorded[group].items():
        # Proposals that closed a cycle were redrawn there; here they are never made.
        theirs[word.split(" (rejected")[0]] += round(frequency * recorded[GROUPS[group]])
    ours = observed()[group]
    words = sorted(theirs | ours)
    # Rare words share a column: chi-square needs some five expected counts in each.
    rare = [word for word in words if theirs[word] + ours[word] < 12]
    table = [
        [counts[word] for word in words if word not in rare]
        + [sum(counts[w] for w in rare)] * bool(rare)
        for counts in (theirs, ours)
    ]
    assert chi2_contingency(table).pvalue > LEVEL, (theirs, ours)


@pytest.mark.parametrize(
    ("fraction", "draw", "legal"),
    [
        # The recorded fractions are those of 4,099 and of (a multiple of) 2,093 draws.
        ("acyclic_fraction_of_raw_graphs", raw_genome, lambda genome: genome is not None),
        ("decay_graph_acceptance", raw_decay, lambda decay: decay.in_range),
    ],
)
def test_share_of_draws_that_are_legal(
    fraction: str, draw: Callable[..., Any], legal: Callable[[Any], bool]
) -> None:
    recorded = load_json("sampling_statistics.json")[fraction]
    theirs = Fraction(recorded).limit_denominator(10_000)
    how = SamplingProbabilities()
    setting = how if draw is raw_genome else how.decay
    ours = sum(legal(draw(generator(22, index), setting)) for index in range(SAMPLES))
    table = [
        [theirs.numerator, theirs.denominator - theirs.numerator],
        [ours, SAMPLES - ours],
    ]
    assert chi2_contingency(table).pvalue > LEVEL, (recorded, ours / SAMPLES)
