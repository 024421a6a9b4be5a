"""Mutation: with few choices left, the set of mutants equals the list written here."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from scipy.stats import binomtest

from evoptim.config import DecayMutation, MutationProbabilities, SamplingProbabilities
from evoptim.decay import DECAY_UNARY, PRIMITIVES, Decay, DecayNode
from evoptim.errors import InputError
from evoptim.genome import Edge, Genome, Momentum, Node
from evoptim.mutation import Mutant, is_legal, mutate, with_dormant_nodes
from evoptim.mutation.decay import mutate_decay
from evoptim.mutation.legal import ROOT, connectable_hidden
from evoptim.operands import OPERANDS
from evoptim.operators import BINARY, UNARY
from evoptim.sampling import sample_genome

HOW = SamplingProbabilities()
DRAWS = 300


def only(kind: str, **changes: float) -> MutationProbabilities:
    kinds = dict.fromkeys(("operator", "connection", "arity", "momentum", "decay"), 0.0)
    return MutationProbabilities.model_validate({**kinds, kind: 1.0, **changes})


def leaving(**names: tuple[str, ...]) -> SamplingProbabilities:
    """The sampling probabilities with all operands or operators but the named ones removed."""
    known = {
        "operands": tuple(OPERANDS),
        "unary": tuple(name for name in UNARY if name != "identity"),
        "binary": tuple(BINARY),
    }
    return SamplingProbabilities.model_validate(
        {
            table: {name: 0.0 for name in known[table] if name not in kept}
            for table, kept in names.items()
        }
    )


def mutants(
    genome: Genome | str, odds: MutationProbabilities, how: SamplingProbabilities = HOW
) -> list[Mutant]:
    parent = Genome.parse(genome) if isinstance(genome, str) else genome
    return [mutate(parent, Random(seed), odds, how) for seed in range(DRAWS)]


def texts(found: list[Mutant]) -> set[str]:
    return {str(mutant.genome) for mutant in found}


def test_operator_of_a_unary_node() -> None:
    found = mutants("None ~ tanh(erf(g))", only("operator"), leaving(unary=("tanh", "erf", "exp")))
    assert texts(found) == {
        "None ~ id(erf(g))", "None ~ erf(erf(g))", "None ~ exp(erf(g))",
        "None ~ tanh(id(g))", "None ~ tanh(tanh(g))", "None ~ tanh(exp(g))",
    }  # fmt: skip
    assert {mutant.kind for mutant in found} == {"operator"}
    assert "operator tanh(X) becomes exp(X)" in {mutant.change for mutant in found}


def test_operator_of_a_binary_node_keeps_inputs_order_and_decays() -> None:
    text = "Mom ~ ([tanh(a1)][tanh(g)])-(v hat)"
    found = mutants(text, only("operator"), leaving(binary=("sub", "max"), unary=("tanh",)))
    assert texts(found) == {
        "Mom ~ max([tanh(a1)][tanh(g)], v hat)",
        "Mom ~ ([tanh(a1)][id(g)])-(v hat)",
    }


def test_identity_is_as_frequent_as_configured() -> None:
    always = mutants("None ~ tanh(erf(g))", only("operator", to_identity=1.0))
    assert texts(always) == {"None ~ id(erf(g))", "None ~ tanh(id(g))"}
    fifth = mutants("None ~ tanh(erf(g))", only("operator"))
    identities = sum("id(" in str(mutant.genome) for mutant in fifth)
    assert binomtest(identities, DRAWS, 0.2).pvalue > 1e-4


def test_connection_reads_any_other_operand_or_hidden_node_without_a_cycle() -> None:
    hidden = (Node("tanh", (Edge("g"),)), Node("erf", (Edge("g"),)), Node("exp", (Edge(0),)),
              Node("abs", (Edge(4),)), Node("neg", (Edge(3),)))  # fmt: skip
    genome = Genome(Node("max", (Edge(0), Edge("g"))), hidden)
    # 2 reads 0, so 0 cannot read it; 3 and 4 read each other, so nobody can.
    assert connectable_hidden(genome, 0) == [1]
    assert connectable_hidden(genome, 1) == [0, 2]
    assert connectable_hidden(genome, ROOT) == [1, 2]
    found = mutants(genome, only("connection", swap=0.0), leaving(operands=("g", "1")))
    assert texts(found) == {
        # The root's hidden input gives way to hidden nodes only, its operand to anything.
        "None ~ max(erf(g), g)", "None ~ max(exp(tanh(g)), g)",
        "None ~ max(tanh(g), 1)", "None ~ max(tanh(g), erf(g))",
        "None ~ max(tanh(g), exp(tanh(g)))",
        "None ~ max(tanh(1), g)", "None ~ max(tanh(erf(g)), g)",
    }  # fmt: skip


def test_connection_may_swap_the_inputs_with_their_decays() -> None:
    parent = Genome.parse("None ~ ([tanh(a1)][tanh(g)])-(v hat)")
    found = mutants(parent, only("connection", swap=1.0))
    at_root = {str(m.genome) for m in found if m.genome.root != parent.root}
    assert at_root == {"None ~ (v hat)-([tanh(a1)][tanh(g)])"}
    assert "inputs change places" in {mutant.change for mutant in found}


def test_a_replaced_input_leaves_its_decay_behind_for_nobody() -> None:
    parent = "None ~ tanh([tanh(a1)][tanh(g)])"
    for mutant in mutants(parent, only("connection")):
        root = mutant.genome.root.edges[0]
        below = mutant.genome.hidden[0].edges[0]
        # The root reads another node and has no decay, or the node below reads another input.
        assert (root.decay is None) == (root.source != 0)
        assert below.decay is None


def test_arity_grows_and_shrinks() -> None:
    how = leaving(operands=("g", "1"), unary=("exp",), binary=("sub",))
    plain = Genome(Node("tanh", (Edge(0),)), (Node("erf", (Edge("g"),)),))
    grown = {text for text in texts(mutants(plain, only("arity"), how)) if "(1)" in text}
    assert grown >= {
        "None ~ (erf(g))-(1)", "None ~ (1)-(erf(g))",
        "None ~ tanh((g)-(1))", "None ~ tanh((1)-(g))",
    }  # fmt: skip
    shrunk = texts(mutants("None ~ (erf(g))-([tanh(a1)][1])", only("arity"), how))
    # The root keeps its hidden input; the operand leaves, its decay with it.
    assert {"None ~ id(erf(g))", "None ~ exp(erf(g))"} <= shrunk
    assert not any(text in shrunk for text in ("None ~ id([tanh(a1)][1])", "None ~ exp(1)"))


def test_momentum_becomes_one_of_the_others() -> None:
    found = mutants("None ~ tanh(tanh(g))", only("momentum"))
    assert texts(found) == {"Mom ~ tanh(tanh(g))", "Nest ~ tanh(tanh(g))"}
    assert {mutant.change for mutant in found} == {
        "momentum none becomes heavy-ball",
        "momentum none becomes nesterov",
    }


def test_decay_appears_in_range_on_any_edge() -> None:
    for mutant in mutants("None ~ tanh(erf(g))", only("decay")):
        (decay,) = mutant.genome.decays()
        assert decay.in_range
        assert str(mutant.genome) in (
            f"None ~ tanh([{decay}][erf(g)])",
            f"None ~ tanh(erf([{decay}][g]))",
        )
        assert mutant.change.startswith(f"decay [{decay}] appears on ")


def test_decay_disappears_or_changes() -> None:
    parent = "None ~ tanh([tanh(a1)][tanh(g)])"
    gone = texts(mutants(parent, only("decay", delete_decay=1.0)))
    assert "None ~ tanh(tanh(g))" in gone
    kept = texts(mutants(parent, only("decay", delete_decay=0.0)))
    assert "None ~ tanh(tanh(g))" not in kept
    assert parent not in kept


NEW_DECAYS: list[tuple[str, dict[str, float], Callable[[str], bool]]] = [
    ("operator", {}, lambda text: text in {str(Decay(DecayNode(o, ("a1",)))) for o in DECAY_UNARY}),
    ("connection", {}, lambda text: text.startswith("tanh(") and text != "tanh(a1)"),
    ("arity", {}, lambda text: "a1" in text and "tanh(a1)" not in text),
]


@pytest.mark.parametrize(("kind", "changes", "expected"), NEW_DECAYS)
def test_a_decay_changes_by_one_step(
    kind: str, changes: dict[str, float], expected: Callable[[str], bool]
) -> None:
    weights = {"operator": 0.0, "connection": 0.0, "arity": 0.0, kind: 1.0}
    odds = DecayMutation.model_validate(weights)
    decay = Decay.parse("tanh(a1)")
    for seed in range(DRAWS):
        changed = mutate_decay(decay, Random(seed), odds, HOW.decay)
        assert changed is not None
        assert changed.in_range
        assert expected(str(changed)), str(changed)
        assert "a14w" not in str(changed)


def test_every_primitive_and_the_hidden_node_can_be_connected() -> None:
    odds = DecayMutation(operator=0.0, arity=0.0)
    found = {
        mutate_decay(Decay.parse("tanh(a1)"), Random(seed), odds, HOW.decay)
        for seed in range(1_500)
    }
    inputs = {decay.root.inputs[0] for decay in found if decay}
    assert inputs == {"h", *PRIMITIVES} - {"a1", "a14w"}


def test_the_sign_is_never_inherited() -> None:
    parent = Genome.parse("None ~ tanh(-(g))").with_sign(-1)
    assert all(mutate(parent, Random(seed)).genome.sign == 1 for seed in range(DRAWS))


def test_no_mutant_reads_as_its_parent_does() -> None:
    # Five hidden nodes that all say the same: most new connections would change nothing.
    parent = Genome(Node("tanh", (Edge(0),)), (Node("erf", (Edge("g"),)),) * 5)
    for odds in (only("connection"), MutationProbabilities()):
        assert str(parent) not in texts(mutants(parent, odds))
    same = Genome(Node("add", (Edge(0), Edge(0))), (Node("erf", (Edge("g"),)),) * 5)
    assert str(same) not in texts(mutants(same, only("connection", swap=1.0)))


def test_dormant_nodes_fill_up_to_five_and_take_no_part() -> None:
    genome = Genome.parse("None ~ tanh(erf(g))")
    filled = with_dormant_nodes(genome, Random(0), HOW)
    assert len(filled.hidden) == 5
    assert filled.hidden[0] == genome.hidden[0]
    assert str(filled) == str(genome)
    assert filled.id == genome.id
    full = sample_genome(Random(0), HOW)
    assert with_dormant_nodes(full, Random(0), HOW) == full


@pytest.mark.parametrize(
    ("text", "legal"),
    [
        ("None ~ tanh(erf(g))", True),
        ("None ~ tanh(g)", False),
        ("None ~ tanh([tanh(a1)][erf(g)])", True),
        ("None ~ tanh([(a10)+(a2)][erf(g)])", False),
    ],
)
def test_legality(text: str, legal: bool) -> None:
    assert is_legal(Genome.parse(text)) == legal


def test_a_parent_without_hidden_input_gets_one() -> None:
    for seed in range(100):
        assert mutate(Genome.parse("None ~ tanh(g)"), Random(seed)).genome.root.hidden_sources


def test_a_decay_out_of_range_does_not_survive() -> None:
    parent = Genome.parse("None ~ tanh([(a10)+(a2)][erf(g)])")
    assert all(is_legal(mutate(parent, Random(seed)).genome) for seed in range(100))


@pytest.mark.parametrize(
    ("text", "odds", "how"),
    [
        (
            "None ~ tanh(erf(g))",
            only("momentum"),
            SamplingProbabilities(momentum={"none": 1.0}),
        ),
        ("None ~ tanh(tanh(g))", only("operator", to_identity=0.0), leaving(unary=("tanh",))),
        ("None ~ tanh(g)", only("operator"), HOW),
        ("None ~ ([(a10)+(a2)][erf(g)])+([(a10)+(a2)][g])", only("decay"), HOW),
    ],
)
def test_what_cannot_mutate_is_an_error_and_no_endless_loop(
    text: str, odds: MutationProbabilities, how: SamplingProbabilities
) -> None:
    with pytest.raises(InputError, match=r"no mutation of None ~ .* is possible"):
        mutate(Genome.parse(text), Random(0), odds, how)


@pytest.mark.parametrize("kinds", [MutationProbabilities, DecayMutation])
def test_at_least_one_kind_has_a_weight(kinds: type) -> None:
    names = ("operator", "connection", "arity", "momentum", "decay")
    zero = {name: 0.0 for name in names if name in kinds.model_fields}  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="has weight 0; leave at least one"):
        kinds(**zero)


def test_long_lines_of_descent_stay_legal() -> None:
    momenta = set()
    for line in range(5):
        rng = Random(line)
        genome = sample_genome(rng, HOW)
        for _ in range(200):
            parent, mutant = genome, mutate(genome, rng)
            genome = mutant.genome
            assert is_legal(genome)
            assert len(genome.hidden) == 5
            assert str(genome) != str(parent)
            assert mutant.change
            assert Genome.parse(str(genome)).id == genome.id
            momenta.add(genome.momentum)
    assert momenta == set(Momentum)
