"""The initial distribution: its rules, its data, and draws that depend on their address alone."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from random import Random

import pytest
from pydantic import ValidationError
from scipy.stats import binomtest

from evoptim.config import DecaySampling, SamplingProbabilities
from evoptim.decay import DECAY_ARITY, HIDDEN, PRIMITIVES
from evoptim.errors import InputError
from evoptim.genome import Genome, Momentum
from evoptim.operands import OPERANDS
from evoptim.operators import ARITY, BINARY, UNARY
from evoptim.sampling import choose, generator, sample_genome

HOW = SamplingProbabilities()


def sample(count: int, how: SamplingProbabilities) -> list[Genome]:
    return [sample_genome(Random(seed), how) for seed in range(count)]


@lru_cache(maxsize=1)
def default_sample() -> list[Genome]:
    return sample(2_000, HOW)


def test_every_sample_keeps_the_rules() -> None:
    for genome in default_sample():
        assert len(genome.hidden) == 5
        assert genome.root.hidden_sources
        assert genome.sign == 1
        for index, node in enumerate(genome.hidden):
            assert index not in node.sources
        for node in (*genome.hidden, genome.root):
            assert len(set(node.sources)) == len(node.sources)
            assert all(edge.decay is None or edge.decay.in_range for edge in node.edges)
        if genome.root.operator in UNARY:
            assert isinstance(genome.root.sources[0], int)


def test_everything_is_sampled_but_the_wide_a14() -> None:
    operators, operands, momenta, decay_operators, inputs = set(), set(), set(), set(), set()
    for genome in default_sample():
        momenta.add(genome.momentum)
        for node in genome.active:
            operators.add(node.operator)
            operands |= {source for source in node.sources if isinstance(source, str)}
        for decay in genome.decays():
            decay_operators.add(decay.root.operator)
            inputs |= set(decay.root.inputs)
    assert operators == set(ARITY)
    assert operands == set(OPERANDS)
    assert momenta == set(Momentum)
    assert inputs == {*PRIMITIVES, HIDDEN} - {"a14w"}
    # A difference or a quotient seldom stays within [0, 1]; these are all that two thousand show.
    assert decay_operators >= set(DECAY_ARITY) - {"add", "sub", "div"}


@pytest.mark.parametrize(
    ("share", "of", "probability"),
    [
        # 20 % identity for each unary node; decays 85 % on the edge of a unary root.
        (lambda g: g.root.operator in BINARY, lambda g: True, 0.75),
        (lambda g: g.root.operator == "identity", lambda g: g.root.operator in UNARY, 0.2),
        (
            lambda g: g.root.edges[0].decay is not None,
            lambda g: g.root.operator in UNARY,
            0.85,
        ),
        (lambda g: g.root.edges[0].decay is not None, lambda g: g.root.operator in BINARY, 0.15),
        (lambda g: g.momentum is Momentum.NESTEROV, lambda g: True, 1 / 3),
        (lambda g: g.hidden[4].operator in BINARY, lambda g: 4 not in g.order, 0.25),
    ],
)
def test_probabilities_are_those_of_the_data(share: object, of: object, probability: float) -> None:
    chosen = [genome for genome in default_sample() if of(genome)]  # type: ignore[operator]
    hits = sum(share(genome) for genome in chosen)  # type: ignore[operator]
    assert binomtest(hits, len(chosen), probability).pvalue > 1e-4


def test_a_weight_of_0_removes_and_a_larger_one_prefers() -> None:
    how = SamplingProbabilities(
        momentum={"none": 1.0, "heavy-ball": 3.0, "nesterov": 0.0},
        operands={name: 0.0 for name in OPERANDS if name not in ("g", "v hat")},
        unary={name: 0.0 for name in UNARY if name not in ("identity", "tanh", "erf")},
        binary={name: 0.0 for name in BINARY if name != "add"},
        decay=DecaySampling(primitives={f"a{n}": 0.0 for n in range(1, 12)}),
    )
    genomes = sample(400, how)
    nodes = [node for genome in genomes for node in genome.hidden]
    assert {node.operator for node in nodes} == {"identity", "tanh", "erf", "add"}
    operands = {source for node in nodes for source in node.sources if isinstance(source, str)}
    assert operands == {"g", "v hat"}
    momenta = Counter(genome.momentum for genome in genomes)
    assert set(momenta) == {Momentum.NONE, Momentum.HEAVY_BALL}
    assert binomtest(momenta[Momentum.HEAVY_BALL], len(genomes), 0.75).pvalue > 1e-4
    inputs = {
        name
        for genome in genomes
        for decay in genome.decays()
        for node in (decay.root, decay.hidden)
        if node
        for name in node.inputs
    }
    assert inputs == {"a12", "a13", "a14", "a14w", HIDDEN}


def test_choose_follows_its_weights() -> None:
    rng = Random(0)
    weights = {"a": 1.0, "b": 0.0, "c": 2.0}
    counts = Counter(choose(rng, "abcd", weights) for _ in range(4_000))
    assert set(counts) == set("acd")
    for name, probability in (("a", 0.25), ("c", 0.5), ("d", 0.25)):
        assert binomtest(counts[name], 4_000, probability).pvalue > 1e-4
    with pytest.raises(ValueError, match="nothing to choose from"):
        choose(rng, "b", weights)


def test_the_same_address_draws_the_same_and_another_address_another() -> None:
    addresses = [(1, "a", 0), (1, "a", 1), (1, "a"), ("1", "a", 0), (1, "a/0"), (11, "a", 0)]
    first = [generator(*address).random() for address in addresses]
    assert first == [generator(*address).random() for address in addresses]
    assert len(set(first)) == len(first)
    assert sample_genome(generator(7), HOW) == sample_genome(generator(7), HOW)


def test_the_generators_draws_never_change() -> None:
    # Searches are reproduced from their seed alone, on other machines and in later versions.
    assert str(sample_genome(generator(2024, "promise"), HOW)) == "Mom ~ min(id(10-3w), lam hat)"


def test_probabilities_under_which_next_to_nothing_is_acyclic_are_an_error() -> None:
    how = SamplingProbabilities(operand_input=0.01, hidden_unary=0.0, edge_decay=0.0)
    with pytest.raises(InputError, match="no legal genome: bring the probabilities"):
        sample_genome(Random(0), how)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"operands": {"w": 1.0}}, "there is no operand 'w'"),
        ({"unary": {"identity": 0.0}}, "there is no unary operator 'identity'"),
        ({"binary": dict.fromkeys(BINARY, 0.0)}, "every binary operator has weight 0"),
        ({"operands": {name: 0.0 for name in OPERANDS if name != "g"}}, "leave at least two"),
        ({"momentum": {"none": 0.0}}, "every momentum type has weight 0"),
        ({"edge_decay": 1.1}, "less than or equal to 1"),
        ({"unary": {"tanh": -1.0}}, "greater than or equal to 0"),
        ({"hidden_unary": float("nan")}, "finite number|greater than or equal"),
    ],
)
def test_impossible_probabilities_are_refused(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        SamplingProbabilities.model_validate(wrong)
