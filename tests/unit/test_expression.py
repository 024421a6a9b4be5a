"""The notation by itself: a grammar of three symbols shows every rule of the parser."""

from __future__ import annotations

import pytest

from evoptim.errors import InputError
from evoptim.expression import MAX_TEXT, ExpressionError, Grammar, Input, Template, Term
from evoptim.genome.text import UPDATE_GRAMMAR

FACTORS = Grammar("factor", {"half": "half(X)"}, ("t",))
GRAMMAR = Grammar(
    "formula",
    {"abs": "|X|", "sum": "(X)+(Y)", "soft": "X/(1+|X|)", "max": "max(X, Y)", "max0": "max(X, 0)"},
    ("x", "xy"),
    FACTORS,
)


def leaf(name: str) -> Input:
    return Input(name)


def term(operator: str, *inputs: Input) -> Input:
    return Input(Term(operator, inputs))


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("x", leaf("x")),
        ("xy", leaf("xy")),
        ("|x|", term("abs", leaf("x"))),
        ("||x||", term("abs", term("abs", leaf("x")))),
        ("x/(1+|x|)", term("soft", leaf("x"))),
        ("|x|/(1+||x||)", term("soft", term("abs", leaf("x")))),
        ("|x/(1+|x|)|", term("abs", term("soft", leaf("x")))),
        (
            "x/(1+|x|)/(1+|x/(1+|x|)|)",
            term("soft", term("soft", leaf("x"))),
        ),
        ("(x)+(|xy|)", term("sum", leaf("x"), term("abs", leaf("xy")))),
        ("max(x, 0)", term("max0", leaf("x"))),
        ("max(x, xy)", term("max", leaf("x"), leaf("xy"))),
        ("|[half(t)][x]|", term("abs", Input("x", FACTORS.parse("half(t)")))),
        # A factor scales the softsign, or what the softsign is taken of.
        ("[half(t)][x/(1+|x|)]", Input(term("soft", leaf("x")).of, FACTORS.parse("half(t)"))),
        (
            "[half(t)][x]/(1+|[half(t)][x]|)",
            term("soft", Input("x", FACTORS.parse("half(t)"))),
        ),
    ],
)
def test_text_and_term(text: str, parsed: Input) -> None:
    assert GRAMMAR.parse(text) == parsed
    assert GRAMMAR.write(parsed) == text


@pytest.mark.parametrize(
    ("text", "position", "found", "expected"),
    [
        ("", 0, "end of text", "an operator or one of x, xy"),
        ("|x", 2, "end of text", "'|'"),
        ("|z|", 1, "'z'", "an operator or one of x, xy"),
        ("(x)+(x", 6, "end of text", "')'"),
        ("(x)-(x)", 3, "'-'", "'+('"),
        ("max(x; x)", 5, "';'", "', '"),
        ("max(x, 1)", 7, "'1'", "'0)'"),
        ("|x||", 3, "'|'", "end of text"),
        # The repeated input of a softsign differs: what stands there is no softsign.
        ("x/(1+|xy|)", 1, "'/'", "end of text"),
        ("[half(u)][x]", 6, "'u'", "an operator or one of t"),
        ("|[half(t)]x|", 10, "'x'", "'['"),
        ("|[half(t)][[half(t)][x]]|", 11, "'['", "an input without a second decay"),
    ],
)
def test_errors_say_where_what_and_what_was_expected(
    text: str, position: int, found: str, expected: str
) -> None:
    with pytest.raises(ExpressionError) as caught:
        GRAMMAR.parse(text)
    error = caught.value
    assert (error.position, error.found) == (position, found)
    assert any(expected in each for each in error.expected), error.expected
    assert str(error).startswith(f"formula: at position {position} found {found}, expected ")


def test_a_text_over_the_limit_is_not_looked_at() -> None:
    with pytest.raises(InputError, match=f"{MAX_TEXT} characters, got {MAX_TEXT + 1}"):
        GRAMMAR.parse("|" * (MAX_TEXT + 1))


def test_an_error_quotes_no_more_than_the_beginning_of_a_long_text() -> None:
    with pytest.raises(ExpressionError) as caught:
        GRAMMAR.parse("z" * MAX_TEXT)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("unit", ["|", "(", "[half(", "max(", "(x)+(", "x/(1+|"])
def test_deep_nesting_is_an_error_and_no_recursion(unit: str) -> None:
    with pytest.raises(ExpressionError):
        GRAMMAR.parse(unit * (MAX_TEXT // len(unit)))


@pytest.mark.parametrize(
    "unit", ["1/(", "1/(1+|", "ln(|", "ln(|1+exp(", "(|", "(0.95*(", "max(g, ", "clip(max(g, 0), "]
)
def test_ambiguous_beginnings_take_linear_time(unit: str) -> None:
    # Every one of these opens several operators; without memory each level would double the work,
    # and 2^30 attempts would not end.
    with pytest.raises(ExpressionError):
        UPDATE_GRAMMAR.parse(unit * 30)


def test_a_template_is_literals_around_holes() -> None:
    template = Template.of("X/(1+|X|)")
    assert template.literals == ("", "/(1+|", "|)")
    assert template.holes == (0, 0)
    assert Template.of("clip(X, Y)").fill(["a", "b"]) == "clip(a, b)"
