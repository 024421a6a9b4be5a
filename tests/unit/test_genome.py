"""The genome as a value: what it holds, how it is written, and what it refuses."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest

from evoptim.decay import Decay, DecayNode
from evoptim.errors import InputError
from evoptim.genome import Edge, Genome, GenomeError, Momentum, Node, json_schema

BEST = "Nest ~ bessel_i1e(arctan([(a13)*(a2)][g]))"


def short(value: object) -> str:
    """Test ids stay printable whatever the value is."""
    return value if isinstance(value, str) and len(value) < 40 and value.isascii() else "-"


def unary(operator: str, source: str | int, decay: Decay | None = None) -> Node:
    return Node(operator, (Edge(source, decay),))


def test_parse_builds_shared_nodes_inputs_first() -> None:
    genome = Genome.parse("Mom ~ (tanh(g))*(max(tanh(g), 1))")
    tanh = unary("tanh", "g")
    assert genome.hidden == (tanh, Node("max", (Edge(0), Edge("1"))))
    assert genome.root == Node("mul", (Edge(0), Edge(1)))
    assert (genome.momentum, genome.sign) == (Momentum.HEAVY_BALL, 1)


def test_parse_reads_decays_on_edges() -> None:
    genome = Genome.parse(BEST)
    decay = Decay(DecayNode("mul", ("a13", "a2")))
    assert genome.hidden == (unary("arctan", "g", decay),)
    assert genome.decays() == (decay,)
    assert str(genome) == BEST


def test_json_of_a_genome() -> None:
    genome = Genome.parse(BEST).with_sign(-1)
    assert genome.to_json() == {
        "format": "evoptim.genome",
        "version": 1,
        "momentum": "nesterov",
        "sign": -1,
        "root": {"operator": "bessel_i1e", "inputs": [{"source": 0}]},
        "hidden": [
            {
                "operator": "arctan",
                "inputs": [
                    {
                        "source": "g",
                        "decay": {"root": {"operator": "mul", "inputs": ["a13", "a2"]}},
                    }
                ],
            }
        ],
    }


def test_ids_are_a_promise() -> None:
    # Archives are keyed by them: a change here orphans every evaluation that was ever stored.
    assert Genome.parse(BEST).id == "1690307fea73da3e"
    assert Genome.parse("None ~ id(g)").id == "65d16737a2c27347"
    assert Genome.parse("Mom ~ -(v hat)").id == "0436d6255ac6f4fb"


def test_order_has_inputs_before_their_users_and_only_what_is_reached() -> None:
    hidden = (
        unary("tanh", 2),
        unary("erf", 1),  # reads itself, but nobody reads it
        unary("abs", "g"),
        Node("add", (Edge(0), Edge(2))),
    )
    genome = Genome(unary("identity", 3), hidden)
    assert genome.order == (2, 0, 3)
    assert str(genome) == "None ~ id((tanh(|g|))+(|g|))"


@pytest.mark.parametrize(
    ("text", "slots"),
    [
        ("None ~ id(g)", []),
        ("None ~ sign(v hat)/(1+|sign(v hat)|)", ["v"]),
        ("None ~ (lam hat)+(v hat)", ["v", "l"]),
        ("Nest ~ id(mean(beta*s-g^2))", ["s", "momentum"]),
        ("Mom ~ (expMovAvg(g))+(tanh(expMovAvg(g)))", ["memory_0", "momentum"]),
        ("None ~ MaxValue(deltaChange(g))", ["memory_0", "memory_1"]),
        ("None ~ tanh(id(v hat))", ["v"]),
    ],
)
def test_state_slots(text: str, slots: list[str]) -> None:
    assert [slot.name for slot in Genome.parse(text).state_slots()] == slots


def test_a_dormant_stateful_node_needs_no_state() -> None:
    genome = Genome(unary("tanh", "g"), (unary("max_value", "v hat"),))
    assert genome.state_slots() == ()


def test_latex() -> None:
    latex = Genome.parse(BEST).to_latex()
    assert latex.startswith(
        r"u_t = \operatorname{i}_{1\mathrm{e}}\left(\arctan\left(d_{1}(t)\, g\right)\right)"
    )
    assert r"d_{1}(t) = \left(\tfrac{b}{0.05+b}\right) \cdot \left(x\right)" in latex
    assert latex.endswith(r"w_{t+1} = w_t + m_{t+1} - \eta_t u_t")
    assert Genome.parse(BEST).with_sign(-1).to_latex().endswith(r"m_{t+1} + \eta_t u_t")


@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda genome: pickle.loads(pickle.dumps(genome))]
)
def test_equality_is_by_content(again: Any) -> None:
    genome = Genome.parse(BEST)
    assert genome.id  # cached values travel along and change nothing
    assert again(genome) == genome
    assert hash(again(genome)) == hash(genome)
    assert again(genome).id == genome.id


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Edge("grad"), "there is no operand 'grad'; choose among g, "),
        (lambda: unary("cosh", "g"), "there is no operator 'cosh'; choose among identity, "),
        (lambda: Node("add", (Edge("g"),)), r"'add' takes 2 input\(s\), got 1"),
        (lambda: Genome(unary("tanh", 0)), "comes from hidden node 0, but the genome has 0"),
        (lambda: Genome(unary("tanh", -1), (unary("tanh", "g"),)), "hidden node -1"),
        (lambda: Genome(unary("tanh", "g"), sign=2), "sign of a genome is 1 or -1, got 2"),
        (lambda: Genome(unary("tanh", "g"), (unary("tanh", "g"),) * 6), "at most 5 hidden nodes"),
        (
            lambda: Genome(unary("tanh", 0), (unary("erf", 1), unary("abs", 0))),
            "cycle through hidden node 0",
        ),
    ],
)
def test_what_is_no_genome_is_refused(make: Any, says: str) -> None:
    with pytest.raises(GenomeError, match=says):
        make()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("None ~ g", "applies at least one operator: write 'id\\(g\\)'"),
        ("None ~ [tanh(a1)][tanh(g)]", "a decay scales an input of an operator"),
        ("None ~ id([a1][g])", "a decay function applies at least one operator"),
        ("None ~ id([tanh(erf(tanh(a1)))][g])", "one hidden node and a root"),
        ("None ~ " + "tanh(" * 7 + "g" + ")" * 7, "at most 5 hidden nodes and a root, got 6"),
        ("none ~ id(g)", "at position 0 found 'none', expected 'None ~ ' or 'Mom ~ '"),
        ("None~id(g)", "at position 0"),
        (" None ~ id(g)", "at position 0 found ' '"),
        ("None ~ id(g) ~ ", "at position 12 found ' ', expected end of text"),
        ("z" * 1_000_000, "at position 0"),
        ("None ~ " + "z" * 1_000_000, "65536 characters"),
        ("None ~ id(\ud800)", "at position 10"),
    ],
    ids=short,
)
def test_text_that_is_no_genome_is_refused(text: str, says: str) -> None:
    with pytest.raises(GenomeError, match=says) as caught:
        Genome.parse(text)
    assert len(str(caught.value)) < 1_000


def changed(path: str, value: Any) -> Any:
    """The JSON of a genome with one field replaced."""
    document = Genome.parse("None ~ tanh([tanh(erf(a1))][tanh(g)])").to_json()
    *parents, last = path.split(".")
    at: Any = document
    for part in parents:
        at = at[int(part)] if isinstance(at, list) else at[part]
    at[int(last) if isinstance(at, list) else last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("version", 2, r"at \$\.version found 2: Input should be 1"),
        ("format", "genome", r"at \$\.format found 'genome'"),
        ("momentum", "adam", r"at \$\.momentum found 'adam': Input should be 'none', "),
        ("sign", 0, r"at \$\.sign found 0"),
        ("sign", "1", r"at \$\.sign found '1'"),
        ("extra", 1, r"at \$\.extra found 1: Extra inputs are not permitted"),
        ("root.operator", "cosh", r"at \$\.root: there is no operator 'cosh'"),
        ("root.operator", "x" * 41, r"at \$\.root\.operator"),
        ("root.inputs", [], r"at \$\.root\.inputs"),
        ("root.inputs.0.source", 5, r"found 5: Input should be a valid string or .* less than 5"),
        ("root.inputs.0.source", 1.0, r"at \$\.root\.inputs\[0\]\.source found 1\.0"),
        ("root.inputs.0.source", True, r"at \$\.root\.inputs\[0\]\.source found True"),
        ("root.inputs.0.source", 3, "comes from hidden node 3, but the genome has 1"),
        ("root.inputs.0.source", "w", r"at \$\.root: there is no operand 'w'"),
        ("root.inputs.0.decay.root.inputs", ["h", "h"], r"'tanh' takes 1 input\(s\)"),
        ("root.inputs.0.decay.hidden", None, "reads 'h', but there is no hidden node"),
        ("hidden.0.inputs.0.source", 0, "cycle through hidden node 0"),
        ("hidden", [{}] * 6, r"at \$\.hidden"),
        ("sign", 10**5_000, "JSON values only"),
        ("sign", float("nan"), r"at \$\.sign found nan"),
        ("sign", {1}, "JSON values only"),
        ("\ud800", 1, "a genome document is JSON"),
    ],
    ids=short,
)
def test_json_that_is_no_genome_is_refused_with_its_path(path: str, value: Any, says: str) -> None:
    with pytest.raises(GenomeError, match=says):
        Genome.from_json(changed(path, value))


@pytest.mark.parametrize("document", [None, 1, [1], [[]], "[]", b"\xff\xfe", b"", "nul", '{"a"}'])
def test_what_is_no_json_object_is_refused(document: Any) -> None:
    with pytest.raises(GenomeError, match="genome document"):
        Genome.from_json(document)


def test_size_is_limited_before_any_work() -> None:
    with pytest.raises(GenomeError, match="65536 bytes"):
        Genome.from_json(" " * 70_000)
    # Thirty doublings of one shared list: a gigabyte of text if it were written out.
    value: list[Any] = []
    for _ in range(30):
        value = [value, value]
    with pytest.raises(GenomeError, match="65536 bytes"):
        Genome.from_json(changed("sign", value))


def test_a_document_that_contains_itself_is_refused() -> None:
    value: dict[str, Any] = {}
    value["again"] = value
    with pytest.raises(GenomeError, match="Circular reference"):
        Genome.from_json(value)


def test_numbers_of_json_become_plain_signs() -> None:
    # JSON does not tell 1 from 1.0; the genome does not tell them apart either.
    genome = Genome.from_json(json.dumps(changed("sign", -1.0)))
    assert type(genome.sign) is int
    assert genome.sign == -1


def test_the_schema_describes_the_document() -> None:
    schema = json_schema()
    assert set(schema["required"]) == {"format", "version", "momentum", "sign", "root"}
    assert schema["additionalProperties"] is False
    assert schema["properties"]["hidden"]["maxItems"] == 5


def test_errors_are_input_errors() -> None:
    # The command line prints these as one line and exits with 2.
    assert issubclass(GenomeError, InputError)
