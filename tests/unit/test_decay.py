"""Decay functions: values, text, range, canonical form, and what is refused."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from genome_graph import plain_decay
from numpy_reference import decay_curve, decay_primitives

from evoptim.config import DecaySampling
from evoptim.decay import DECAY_BINARY, DECAY_UNARY, PRIMITIVES, Decay, DecayNode
from evoptim.errors import InputError
from evoptim.sampling import sample_decay


def bare(primitive: str) -> Decay:
    return Decay(DecayNode("identity", (primitive,)))


def random_decays(count: int) -> list[Decay]:
    return [sample_decay(Random(seed), DecaySampling()) for seed in range(count)]


def test_there_are_14_primitives_and_the_wide_form_of_one() -> None:
    assert list(PRIMITIVES) == [*(f"a{n}" for n in range(1, 15)), "a14w"]
    assert (len(DECAY_UNARY), len(DECAY_BINARY)) == (13, 7)


@pytest.mark.parametrize("total_steps", [1, 2, 35, 100])
def test_primitives(total_steps: int) -> None:
    want = dict(decay_primitives(total_steps))
    want["a14w"] = decay_primitives(total_steps, "wide")["a14"]
    for name in PRIMITIVES:
        assert np.allclose(bare(name).values(total_steps), want[name], atol=1e-14), name


def test_progress_starts_at_0_and_stops_short_of_1() -> None:
    assert bare("a2").values(4) == (0.0, 0.25, 0.5, 0.75)
    assert bare("a10").values(4) == (0.0, 0.5, 0.0, 0.5)
    assert bare("a13").values(4)[-1] == 0.0


@pytest.mark.parametrize("operator", DECAY_UNARY)
def test_unary_operators(operator: str) -> None:
    decay = Decay(DecayNode(operator, ("h",)), DecayNode("sub", ("a1", "a5")))
    assert np.allclose(decay.values(50), decay_curve(plain_decay(decay), 50), atol=1e-13)


@pytest.mark.parametrize("operator", DECAY_BINARY)
def test_binary_operators(operator: str) -> None:
    decay = Decay(DecayNode(operator, ("h", "a7")), DecayNode("sub", ("a1", "a5")))
    want = decay_curve(plain_decay(decay), 50)
    assert np.allclose(decay.values(50), want, rtol=1e-9, atol=1e-13)


def test_random_decays_agree_with_numpy_and_stay_in_range() -> None:
    for decay in random_decays(300):
        want = decay_curve(plain_decay(decay), 100)
        assert np.allclose(decay.values(100), want, rtol=1e-9, atol=1e-12), str(decay)
        assert decay.in_range
        assert 0 <= want.min() <= want.max() <= 1


def test_text_is_read_back() -> None:
    for decay in random_decays(300):
        assert str(Decay.parse(str(decay))) == str(decay)
        assert Decay.parse(str(decay)).values(100) == decay.values(100)


def test_the_unbalanced_parenthesis_of_the_sigmoid_is_read_as_it_stands() -> None:
    inner = DecayNode("sigmoid", ("a1",))
    assert str(Decay(DecayNode("square", ("h",)), inner)) == "(1/(1+exp(-a1))^2"
    twice = Decay.parse("1/(1+exp(-1/(1+exp(-a1))")
    assert twice == Decay(DecayNode("sigmoid", ("h",)), inner)
    soft = Decay.parse("1/(1+exp(-a1)/(1+|1/(1+exp(-a1)|)")
    assert soft == Decay(DecayNode("softsign", ("h",)), inner)


def test_canonical_form_keeps_every_value() -> None:
    for decay in random_decays(300):
        canonical = decay.canonical()
        assert canonical.canonical() == canonical
        assert canonical.values(100) == decay.values(100)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("max(a6, a10)", "max(a10, a6)"),
        ("(a1)*(tanh(a3))", "(tanh(a3))*(a1)"),
        ("id(tanh(a1))", "tanh(a1)"),
        ("tanh(id(a1))", "tanh(a1)"),
        ("id(id(a1))", "id(a1)"),
    ],
)
def test_equal_functions_have_one_canonical_form(one: str, other: str) -> None:
    assert Decay.parse(one).canonical() == Decay.parse(other).canonical()


def test_different_functions_have_different_canonical_forms() -> None:
    texts = ["(a1)-(a2)", "(a2)-(a1)", "tanh(erf(a1))", "erf(tanh(a1))", "id(a1)", "id(a2)"]
    assert len({Decay.parse(text).canonical() for text in texts}) == len(texts)


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("id(a1)", True),  # 1 at the start: the ends belong to the range
        ("(a10)+(a2)", False),
        ("(a12) / (a5)", False),
        ("(a11)-(a6)", False),
        ("id(a14)", True),  # 0.0005 to 0.95: the narrow form
        ("id(a14w)", False),
        ("1/(1+exp(-a14w)", True),
    ],
)
def test_range(text: str, inside: bool) -> None:
    assert Decay.parse(text).in_range == inside


def test_latex_names_no_hidden_node() -> None:
    latex = Decay.parse("max(tanh(a1), a10)").to_latex()
    assert latex == r"\max\left(\tanh\left(1-x\right), m\right)"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: DecayNode("cosine", ("a1",)), "there is no decay operator 'cosine'"),
        (lambda: DecayNode("tanh", ("a1", "a2")), r"takes 1 input\(s\), got \['a1', 'a2'\]"),
        (lambda: DecayNode("tanh", ("a15",)), "there is no decay primitive 'a15'"),
        (lambda: Decay(DecayNode("tanh", ("h",))), "reads 'h', but there is no hidden node"),
        (lambda: Decay(bare("a1").root, DecayNode("tanh", ("h",))), "reads primitives only"),
        (lambda: Decay.parse("a1"), r"write 'id\(a1\)'"),
        (lambda: Decay.parse("tanh(erf(square(a1)))"), "at position 9 found 'square'"),
        (lambda: Decay.parse("tanh(erf(tanh(a1)))"), "one hidden node and a root"),
        (lambda: Decay.parse("max(tanh(a1), erf(a1))"), "one hidden node and a root"),
        (lambda: Decay.parse("tanh(a1) "), "at position 8 found ' ', expected end of text"),
    ],
)
def test_what_is_no_decay_function_is_refused(make: object, says: str) -> None:
    with pytest.raises(InputError, match=says):
        make()  # type: ignore[operator]
