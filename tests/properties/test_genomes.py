"""Laws of genomes: round trips, canonical form, mutation, and what strangers may send."""

from __future__ import annotations

import dataclasses
import json
from contextlib import suppress
from random import Random

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strategies import genomes

from evoptim.config import MutationProbabilities, SamplingProbabilities
from evoptim.decay import Decay, DecayNode
from evoptim.errors import InputError
from evoptim.genome import Edge, Genome, GenomeError, Node
from evoptim.mutation import is_legal, mutate
from evoptim.operands import OPERANDS
from evoptim.operators import ARITY, BINARY
from evoptim.optim import EvolvedOptimizer
from evoptim.sampling import sample_genome


def trajectory(genome: Genome, seed: int = 0) -> torch.Tensor:
    """Weights over 12 steps of random gradients, as one tensor."""
    torch_rng = torch.Generator().manual_seed(seed)
    weights = [
        torch.nn.Parameter(torch.randn(shape, generator=torch_rng)) for shape in ((3, 4), (4,), ())
    ]
    optimizer = EvolvedOptimizer(
        weights, genome, lr=0.1, total_steps=12, warmup_steps=2, hold_steps=2
    )
    rows = []
    for _ in range(12):
        for weight in weights:
            weight.grad = torch.randn(weight.shape, generator=torch_rng)
        optimizer.step()
        rows.append(torch.cat([weight.detach().flatten() for weight in weights]))
    return torch.stack(rows)


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.equal(a.nan_to_num(1e30, 2e30, 3e30), b.nan_to_num(1e30, 2e30, 3e30))


@given(genomes())
def test_text_is_read_back(genome: Genome) -> None:
    text = str(genome)
    read = Genome.parse(text).with_sign(genome.sign)
    assert str(read) == text
    assert read.id == genome.id


@given(genomes())
def test_json_is_read_back(genome: Genome) -> None:
    assert Genome.from_json(json.dumps(genome.to_json())) == genome


@given(genomes())
def test_canonical_form_is_idempotent_and_legal(genome: Genome) -> None:
    once = genome.canonical()
    assert once.canonical() == once
    assert once.id == genome.id
    assert len(once.active) == len(once.hidden) + 1 <= len(genome.active)


@given(genomes(), st.integers(0, 10))
def test_canonical_form_computes_the_same_bits(genome: Genome, seed: int) -> None:
    assert same(trajectory(genome.canonical(), seed), trajectory(genome, seed))


@given(genomes(), st.integers(0, 10))
def test_text_computes_the_same_bits(genome: Genome, seed: int) -> None:
    read = Genome.parse(str(genome)).with_sign(genome.sign)
    assert same(trajectory(read, seed), trajectory(genome, seed))


def insert(genome: Genome, rng: Random, operators: tuple[str, ...]) -> Genome:
    """Put unary ``operators`` on one active edge, if there is room for them."""
    room = 5 - len(genome.order)
    if room < len(operators):
        return genome
    packed = genome.canonical()
    nodes = [*packed.hidden, packed.root]
    at = rng.randrange(len(nodes))
    place = rng.randrange(len(nodes[at].edges))
    edge = nodes[at].edges[place]
    hidden = list(packed.hidden)
    source = edge.source
    for operator in operators:
        hidden.append(Node(operator, (Edge(source),)))
        source = len(hidden) - 1
    edges = list(nodes[at].edges)
    edges[place] = Edge(source, edge.decay)
    changed = Node(nodes[at].operator, tuple(edges))
    if at == len(packed.hidden):
        return Genome(changed, tuple(hidden), packed.momentum, packed.sign)
    hidden[at] = changed
    return Genome(packed.root, tuple(hidden), packed.momentum, packed.sign)


@given(genomes(), st.integers(0, 2**32), st.sampled_from([("identity",), ("neg", "neg")]))
def test_identities_and_double_negations_do_not_change_the_id(
    genome: Genome, seed: int, operators: tuple[str, ...]
) -> None:
    longer = insert(genome, Random(seed), operators)
    assert longer.id == genome.id
    assert same(trajectory(longer), trajectory(genome))


@given(genomes())
def test_order_of_commutative_inputs_does_not_change_the_id(genome: Genome) -> None:
    def swap(node: Node) -> Node:
        commutative = node.operator in BINARY and BINARY[node.operator].commutative
        return Node(node.operator, node.edges[::-1]) if commutative else node

    swapped = dataclasses.replace(
        genome, root=swap(genome.root), hidden=tuple(map(swap, genome.hidden))
    )
    assert swapped.id == genome.id
    assert same(trajectory(swapped), trajectory(genome))


@given(genomes(), st.integers(0, 2**32))
def test_unreachable_nodes_do_not_change_the_id(genome: Genome, seed: int) -> None:
    other = sample_genome(Random(seed), SamplingProbabilities())
    hidden = tuple(
        node if index in genome.order else other.hidden[index]
        for index, node in enumerate(genome.hidden)
    )
    assert dataclasses.replace(genome, hidden=hidden).id == genome.id


@given(st.sampled_from(["tanh", "erf", "square"]), st.sampled_from(["a1", "a13"]))
def test_unused_decay_nodes_do_not_change_the_id(operator: str, primitive: str) -> None:
    root = DecayNode("identity", ("a3",))
    used, unused = Decay(root), Decay(root, DecayNode(operator, (primitive,)))
    ids = {Genome(Node("identity", (Edge("g", decay),))).id for decay in (used, unused)}
    assert len(ids) == 1


def test_what_differs_has_another_id() -> None:
    texts = [
        "None ~ id(g)", "Mom ~ id(g)", "Nest ~ id(g)", "None ~ tanh(g)", "None ~ id(v hat)",
        "None ~ (g)-(v hat)", "None ~ (v hat)-(g)", "None ~ id([tanh(a1)][g])",
        "None ~ id([tanh(a2)][g])", "None ~ (g)+(v hat)",
        "None ~ ([tanh(a1)][g])+(v hat)", "None ~ (g)+([tanh(a1)][v hat])",
    ]  # fmt: skip
    ids = [Genome.parse(text).id for text in texts]
    ids += [Genome.parse(text).with_sign(-1).id for text in texts]
    assert len(set(ids)) == len(ids)


@given(genomes(), st.integers(0, 2**32))
def test_every_mutant_is_legal_and_new(genome: Genome, seed: int) -> None:
    mutant = mutate(genome, Random(seed)).genome
    assert is_legal(mutant)
    assert len(mutant.hidden) == 5
    assert mutant.root.hidden_sources
    assert mutant.sign == 1
    assert mutant != genome


@given(genomes(), st.integers(0, 2**32))
def test_a_replaced_edge_leaves_no_decay_behind(genome: Genome, seed: int) -> None:
    only = MutationProbabilities(operator=0, arity=0, momentum=0, decay=0, swap=0)
    mutant = mutate(genome, Random(seed), only).genome
    before = {id(node) for node in (*genome.hidden, genome.root)}
    changed = [node for node in (*mutant.hidden, mutant.root) if id(node) not in before]
    originals = (*genome.hidden, genome.root)
    for node in changed:
        new = [
            edge
            for edge in node.edges
            if not any(edge in old.edges for old in originals if old.operator == node.operator)
        ]
        assert all(edge.decay is None for edge in new)


def test_everything_is_reachable_by_mutation() -> None:
    genome = Genome.parse("None ~ tanh(arctan(g))")
    operators, operands, momenta, primitives = set(), set(), set(), set()
    for seed in range(6_000):
        genome = mutate(genome, Random(seed)).genome
        for node in genome.active:
            operators.add(node.operator)
            operands |= {source for source in node.sources if isinstance(source, str)}
        momenta.add(genome.momentum)
        for decay in genome.decays():
            primitives |= set(decay.root.inputs)
    assert operators == set(ARITY)
    assert operands == set(OPERANDS)
    assert len(momenta) == 3
    assert primitives - {"h"} == {f"a{n}" for n in range(1, 15)}


def test_a_mutation_that_cannot_happen_is_an_error_and_no_endless_loop() -> None:
    only = MutationProbabilities(operator=0, connection=0, arity=0, decay=0)
    one_type = SamplingProbabilities(momentum={"none": 1.0})
    with pytest.raises(InputError, match="no mutation"):
        mutate(Genome.parse("None ~ tanh(arctan(g))"), Random(0), only, one_type)


@given(st.text(max_size=60) | st.text("()[]|/+*^ a1gv2hat,~-expNone", max_size=80))
@example("None ~ " + "(" * 60_000)
@example("None ~ " + "-(" * 30 + "g" + ")" * 30)
@example("None ~ " + "tanh(" * 7 + "g" + ")" * 7)
@example("Nest ~ g")
@example("None ~ [id(a1)][g]")
@example("None ~ id([id(a1)][[id(a1)][g]])")
@settings(max_examples=300)
def test_any_text_is_a_genome_or_a_clear_error(text: str) -> None:
    with suppress(GenomeError):
        assert str(Genome.parse(text)) == text


@given(genomes(), st.integers(0, 200), st.sampled_from(["", "(", ")", "g", "]", "×", " "]))
@settings(max_examples=200)
def test_a_damaged_text_is_a_genome_or_a_clear_error(genome: Genome, at: int, new: str) -> None:
    text = str(genome)
    damaged = text[:at] + new + text[at + 1 :]
    with suppress(GenomeError):
        assert str(Genome.parse(damaged)) == damaged


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(genomes(), st.sampled_from(["root", "hidden", "momentum", "sign", "version", "new"]), JSON)
@settings(max_examples=200)
def test_any_json_is_a_genome_or_a_clear_error(genome: Genome, field: str, value: object) -> None:
    document = {**genome.to_json(), field: value}
    with suppress(GenomeError):
        assert isinstance(Genome.from_json(document), Genome)


@pytest.mark.parametrize(
    "text", ["", "[" * 60_000, "{", "null", "1e999", '"\\ud800"', " " * 70_000, "{}"]
)
def test_broken_json_is_a_clear_error(text: str) -> None:
    with pytest.raises(GenomeError, match="genome document"):
        Genome.from_json(text)


@pytest.mark.parametrize(
    ("text", "position", "found", "expected"),
    [
        ("None ~ tanh(g", 13, "end of text", "')'"),
        ("None ~ tanh(x)", 12, "'x'", "an operator or one of"),
        ("Adam ~ id(g)", 0, "'Adam'", "'None ~ '"),
        ("None ~ id(g))", 12, "')'", "end of text"),
        ("None ~ id([tanh(b1)][g])", 16, "'b1'", "an operator or one of a1"),
    ],
)
def test_syntax_errors_name_position_token_and_expectation(
    text: str, position: int, found: str, expected: str
) -> None:
    with pytest.raises(GenomeError) as caught:
        Genome.parse(text)
    message = str(caught.value)
    assert f"at position {position} found {found}" in message
    assert expected in message


def test_the_longest_text_of_a_genome_can_be_read_back() -> None:
    # Each node reads the one before it twice, so the text doubles at every level.
    nodes = [
        Node("pow_abs", (Edge("((1-0.95)*g^2+0.95*s hat)"), Edge("((1-0.99)*g^2+0.99*lam hat)")))
    ]
    for index in range(4):
        nodes.append(Node("div_sqrt_one_plus_sq", (Edge(index), Edge(index))))
    genome = Genome(Node("mul", (Edge(4), Edge(4))), tuple(nodes))
    assert Genome.parse(str(genome)).id == genome.id
