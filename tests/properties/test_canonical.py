"""The canonical form against an evaluation of genomes just as they are written.

The optimizer itself runs canonical forms, so it cannot tell whether they are right: here nodes are
evaluated one by one, without sharing, sorting or dropping anything.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import DECAYS, crafted_genomes, genomes

from evoptim.decay import Decay, DecayNode
from evoptim.genome import MAX_HIDDEN, Edge, Genome, Momentum, Node
from evoptim.mutation import mutate
from evoptim.operands import OPERANDS, POWERS
from evoptim.operators import BINARY, UNARY
from evoptim.update import Instruction, Program, compile_genome, move, update_direction

STEPS = 6


def as_written(genome: Genome) -> Program:
    """The program of the nodes that the root reaches, one instruction for each."""
    names = list(OPERANDS)
    place: dict[str | int, int] = {name: position for position, name in enumerate(names)}
    place |= {index: len(names) + position for position, index in enumerate(genome.order)}
    decays = [edge.decay for node in genome.active for edge in node.edges if edge.decay]
    numbers = iter(range(len(decays)))
    return Program(
        averages=tuple(POWERS),
        operands=tuple(OPERANDS.values()),
        instructions=tuple(
            Instruction(
                UNARY[node.operator] if node.operator in UNARY else BINARY[node.operator],
                tuple(place[source] for source in node.sources),
                tuple(next(numbers) if edge.decay else None for edge in node.edges),
            )
            for node in genome.active
        ),
        decays=tuple(decays),
        momentum=genome.momentum,
        sign=genome.sign,
    )


def weights(genome: Genome, program: Program, seed: int = 0) -> torch.Tensor:
    """Weights after each step of random gradients. Equal sub-expressions draw equal masks."""
    rng = torch.Generator().manual_seed(seed)
    weight = torch.randn((2, 3), generator=rng)
    state: dict[str, torch.Tensor] = {}
    names = [str(dataclasses.replace(genome, root=node).canonical()) for node in genome.active]
    factors = program.decay_values(STEPS)
    rows = []
    for step in range(STEPS):

        def draw(node: int, like: torch.Tensor, step: int = step) -> torch.Tensor:
            digest = hashlib.sha256(f"{step} {names[node]}".encode()).digest()
            own = torch.Generator().manual_seed(int.from_bytes(digest[:6], "big"))
            return torch.rand(like.shape, generator=own)

        gradient = torch.randn((2, 3), generator=rng)
        update = update_direction(
            program, gradient, weight, state, step + 1, factors[step], (0, 1), draw
        )
        move(program.momentum, weight, update, -program.sign * 0.1, 0.9, state)
        rows.append(weight.clone())
    return torch.stack(rows)


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.equal(a.nan_to_num(1e30, 2e30, 3e30), b.nan_to_num(1e30, 2e30, 3e30))


@given(crafted_genomes() | genomes(), st.integers(0, 10))
def test_the_canonical_form_computes_what_is_written_bit_for_bit(genome: Genome, seed: int) -> None:
    canonical = genome.canonical()
    assert same(
        weights(canonical, compile_genome(genome), seed), weights(genome, as_written(genome), seed)
    )


@pytest.mark.parametrize(
    "text",
    [
        # Negations and identities with a decay above, between and below them.
        "None ~ (-([tanh(a1)][-([erf(a2)][g])]))+(v hat)",
        "None ~ ([erf(a3)][-([tanh(a1)][-(g)])])+(v hat)",
        "None ~ ([erf(a3)][-(-([tanh(a1)][g]))])*(-(-([tanh(a1)][g])))",
        "None ~ ([erf(a3)][-([tanh(a1)][-([erf(a2)][g])])])+(-([tanh(a1)][-([erf(a2)][g])]))",
        "None ~ (id([tanh(a1)][id([erf(a2)][g])]))-([erf(a3)][id([tanh(a1)][id([erf(a2)][g])])])",
        "None ~ -([tanh(a1)][-([erf(a2)][-([erf(a3)][g])])])",
        "None ~ id([tanh(a1)][id([erf(a2)][-(g)])])",
        # One mask for equal sub-expressions, and one memory.
        "Mom ~ (drop(id(g), 0.5))-(drop(g, 0.5))",
        "Mom ~ (deltaChange(-(-(g))))*(deltaChange(g))",
    ],
)
def test_what_is_easily_got_wrong(text: str) -> None:
    written = Genome.parse(text)
    canonical = written.canonical()
    assert same(weights(canonical, compile_genome(written)), weights(written, as_written(written)))
    assert canonical.canonical() == canonical
    assert len(canonical.hidden) <= len(written.hidden)


@given(crafted_genomes())
def test_the_canonical_form_is_idempotent_and_never_larger(genome: Genome) -> None:
    canonical = genome.canonical()
    assert canonical.canonical() == canonical
    assert canonical.id == genome.id
    assert len(canonical.hidden) == len(canonical.order) <= len(genome.order)


@given(crafted_genomes())
def test_equal_text_is_an_equal_id(genome: Genome) -> None:
    assert Genome.parse(str(genome)).with_sign(genome.sign).id == genome.id


Rewrite = Callable[[Genome, Random], Genome]


def _edit(
    genome: Genome, rng: Random, change: Callable[[Edge, int], tuple[Edge, list[Node]]]
) -> Genome:
    """Replace one active edge; ``change`` gets the number of the next hidden node."""
    at = rng.choice([-1, *genome.order])
    node = genome.root if at == -1 else genome.hidden[at]
    place = rng.randrange(len(node.edges))
    edge, added = change(node.edges[place], len(genome.hidden))
    if len(genome.hidden) + len(added) > MAX_HIDDEN:
        return genome
    edges = (*node.edges[:place], edge, *node.edges[place + 1 :])
    changed = Node(node.operator, edges)
    hidden = (*genome.hidden, *added)
    if at == -1:
        return dataclasses.replace(genome, root=changed, hidden=hidden)
    return dataclasses.replace(genome, hidden=(*hidden[:at], changed, *hidden[at + 1 :]))


def insert_identity(genome: Genome, rng: Random) -> Genome:
    outside = rng.random() < 0.5

    def change(edge: Edge, new: int) -> tuple[Edge, list[Node]]:
        if outside:
            return Edge(new, edge.decay), [Node("identity", (Edge(edge.source),))]
        return Edge(new), [Node("identity", (edge,))]

    return _edit(genome, rng, change)


def insert_double_negation(genome: Genome, rng: Random) -> Genome:
    outside = rng.random() < 0.5

    def change(edge: Edge, new: int) -> tuple[Edge, list[Node]]:
        inner, outer = (Edge(edge.source), edge.decay) if outside else (edge, None)
        return Edge(new + 1, outer), [Node("neg", (inner,)), Node("neg", (Edge(new),))]

    return _edit(genome, rng, change)


def write_decay_otherwise(genome: Genome, rng: Random) -> Genome:
    def change(edge: Edge, new: int) -> tuple[Edge, list[Node]]:
        decay = edge.decay
        if decay is None:
            return edge, []
        if not decay.uses_hidden:
            # As the hidden node below an identity, or with a hidden node that nobody reads.
            below = Decay(DecayNode("identity", ("h",)), decay.root)
            unused = Decay(decay.root, DecayNode("erfc", ("a8",)))
            decay = rng.choice([below, unused])
        if decay.root.operator in ("max", "mul"):
            decay = Decay(DecayNode(decay.root.operator, decay.root.inputs[::-1]), decay.hidden)
        return Edge(edge.source, decay), []

    return _edit(genome, rng, change)


def swap_commutative(genome: Genome, rng: Random) -> Genome:
    def swap(node: Node) -> Node:
        row = BINARY.get(node.operator)
        swaps = row is not None and row.commutative and rng.random() < 0.5
        return Node(node.operator, node.edges[::-1]) if swaps else node

    return dataclasses.replace(
        genome, root=swap(genome.root), hidden=tuple(swap(node) for node in genome.hidden)
    )


def renumber(genome: Genome, rng: Random) -> Genome:
    order = rng.sample(range(len(genome.hidden)), len(genome.hidden))

    def node(of: Node) -> Node:
        edges = (
            e if isinstance(e.source, str) else Edge(order[e.source], e.decay) for e in of.edges
        )
        return Node(of.operator, tuple(edges))

    moved = {order[index]: node(of) for index, of in enumerate(genome.hidden)}
    hidden = tuple(moved[index] for index in range(len(moved)))
    return dataclasses.replace(genome, root=node(genome.root), hidden=hidden)


def add_dormant(genome: Genome, rng: Random) -> Genome:
    if len(genome.hidden) == MAX_HIDDEN:
        return genome
    edge = Edge(rng.choice([*range(len(genome.hidden)), "s hat"]), rng.choice(DECAYS))
    return dataclasses.replace(genome, hidden=(*genome.hidden, Node("max_value", (edge,))))


def unshare(genome: Genome, rng: Random) -> Genome:
    """One reader of a hidden node gets a copy of its own."""

    def change(edge: Edge, new: int) -> tuple[Edge, list[Node]]:
        if isinstance(edge.source, str):
            return edge, []
        return Edge(new, edge.decay), [genome.hidden[edge.source]]

    return _edit(genome, rng, change)


def negate_root(genome: Genome, rng: Random) -> Genome:
    if len(genome.hidden) == MAX_HIDDEN:
        return genome
    hidden = (*genome.hidden, genome.root)
    root = Node("neg", (Edge(len(genome.hidden)),))
    return Genome(root, hidden, genome.momentum, -genome.sign)


REWRITES: tuple[Rewrite, ...] = (
    insert_identity,
    insert_double_negation,
    write_decay_otherwise,
    swap_commutative,
    renumber,
    add_dormant,
    unshare,
    negate_root,
)


@given(
    crafted_genomes(max_hidden=3),
    st.lists(st.sampled_from(REWRITES), min_size=1, max_size=4),
    st.integers(0, 2**32),
)
def test_what_is_written_otherwise_has_the_same_id_and_computes_the_same(
    genome: Genome, rewrites: list[Rewrite], seed: int
) -> None:
    rng, rewritten = Random(seed), genome
    for rewrite in rewrites:
        rewritten = rewrite(rewritten, rng)
    assert rewritten.id == genome.id
    assert same(weights(rewritten, as_written(rewritten)), weights(genome, as_written(genome)))


@given(crafted_genomes())
def test_momentum_and_sign_change_the_id(genome: Genome) -> None:
    variants = [
        dataclasses.replace(genome, momentum=momentum, sign=sign)
        for momentum in Momentum
        for sign in (1, -1)
    ]
    assert len({variant.id for variant in variants}) == 6


@given(crafted_genomes(), st.integers(0, 2**32))
def test_what_computes_otherwise_has_another_id(genome: Genome, seed: int) -> None:
    other = mutate(genome, Random(seed)).genome.with_sign(genome.sign)
    if not same(weights(genome, as_written(genome)), weights(other, as_written(other))):
        assert other.id != genome.id


def test_commutative_inputs_that_differ_in_their_decay_alone_are_sorted_too() -> None:
    one = Genome.parse("None ~ ([tanh(a1)][g])+([erf(a2)][g])")
    other = Genome.parse("None ~ ([erf(a2)][g])+([tanh(a1)][g])")
    assert one.id == other.id


def test_a_double_negation_through_the_root_disappears() -> None:
    plain = Genome.parse("None ~ id([tanh(a1)][g])")
    assert Genome.parse("None ~ -([tanh(a1)][-(g)])").id == plain.id
    assert Genome.parse("None ~ id([tanh(a1)][-(g)])").with_sign(-1).id == plain.id
    twice = Genome.parse("None ~ id([tanh(a1)][id([erf(a2)][g])])")
    assert Genome.parse("None ~ -([tanh(a1)][-([erf(a2)][g])])").id == twice.id


def test_two_genomes_of_one_text_have_one_id() -> None:
    # "1/(1+|1|)" is both the softsign of 1 and the reciprocal of 1 + |1|: one half either way.
    ids = {Genome(Node(name, (Edge("1"),))).id for name in ("softsign", "inv_one_plus_abs")}
    assert len(ids) == 1
