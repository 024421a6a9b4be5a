"""Formulas and numbers as the report writes them."""

import pytest

from evoptim.analysis import Interval
from evoptim.decay import DECAY_OPERATORS, PRIMITIVES
from evoptim.operands import OPERANDS
from evoptim.operators import BINARY, UNARY
from evoptim.report.formula import mathml
from evoptim.report.palette import PALETTE, css_variables
from evoptim.report.parentheses import tidy
from evoptim.report.wording import (
    count,
    duration,
    effect,
    ends,
    p_value,
    percent,
    place,
    plural,
    plus_minus,
    points,
    precise,
    rate,
)


@pytest.mark.parametrize(
    ("latex", "tidied"),
    [
        (r"\arctan\left(\left(a+b\right)\right)", r"\arctan(a+b)"),
        (r"\left(g\right) \cdot \left(x\right)", r"g \cdot x"),
        (r"\tanh\left(g\right)", r"\tanh(g)"),
        (r"\operatorname{EMA}_{0.95}\left(g\right)", r"\operatorname{EMA}_{0.95}(g)"),
        (r"-\left(\hat v\right)", r"-\hat v"),
        (r"1+\left(\hat\lambda\right)^2", r"1+\hat\lambda^2"),
        (r"\left(a+b\right)^2", r"(a+b)^2"),
        (r"\left(\tfrac{b}{2}\right)^2", r"\left(\tfrac{b}{2}\right)^2"),
        (r"\left(\tfrac{b}{2}\right) \cdot \left(x\right)", r"\tfrac{b}{2} \cdot x"),
        (r"\left(a\right) - \left(b+c\right)", r"a - (b+c)"),
        (r"\left(a+b\right) \cdot \left(c+d\right)", r"(a+b) \cdot (c+d)"),
        (r"d_{1}(t) \left(\tanh\left(g\right)\right)", r"d_{1}(t) \, \tanh(g)"),
        (
            r"0.95\left(\operatorname{sign}(g)\right) + 0.05\left(a+b\right)",
            r"0.95\, \operatorname{sign}(g) + 0.05(a+b)",
        ),
        (
            r"\left(\tanh\left(g\right) + \tanh\left(w\right)\right) \cdot \left(g\right)",
            r"(\tanh(g) + \tanh(w)) \cdot g",
        ),
        (r"\left(\tanh\left(g\right)\right)^2", r"(\tanh(g))^2"),
        (
            r"\operatorname{clip}\left(\left(a+b\right), \pm\left|\left(c+d\right)\right|\right)",
            r"\operatorname{clip}(a+b, \pm\left|c+d\right|)",
        ),
        (
            r"\frac{\left(a+b\right)}{\left(c\right) \cdot \left(d+e\right)}",
            r"\frac{a+b}{c \cdot (d+e)}",
        ),
        # A decay scales the whole sum.
        (
            r"\min\left(d_{1}(t)\, \left(a+b\right), \left(c+d\right)\right)",
            r"\min(d_{1}(t)\, (a+b), c+d)",
        ),
        # Unbalanced text comes back as it was.
        (r"a\right) + \left(b", r"a\right) + \left(b"),
    ],
)
def test_parentheses_stay_only_where_they_say_something(latex, tidied):
    assert tidy(latex) == tidied


@pytest.mark.parametrize(
    "latex",
    [
        *(row.latex for row in OPERANDS.values()),
        *(row.latex.replace("X", "g").replace("Y", "w") for row in UNARY.values()),
        *(row.latex.replace("X", "g").replace("Y", "w") for row in BINARY.values()),
        *(row.latex.replace("X", "x").replace("Y", "m") for row in DECAY_OPERATORS.values()),
        *(row.latex for row in PRIMITIVES.values()),
    ],
)
def test_everything_in_the_search_space_can_be_typeset(latex):
    element = mathml(tidy(latex))
    assert element.startswith("<math")
    # A command that the converter does not know would be left as its name.
    assert "\\" not in element
    assert "xmlns" not in element


def test_names_of_functions_are_identifiers_and_hats_stay_above_their_letter():
    assert '<mi mathvariant="normal">erf</mi>' in mathml(r"\operatorname{erf}(\hat v)")
    assert '<mo stretchy="false">&#x002C6;</mo>' in mathml(r"\hat v")


def test_a_minus_that_negates_is_no_infix():
    assert '<mo form="prefix">&#x02212;</mo>' in mathml("f(-g)")
    assert "prefix" not in mathml("g-w")


def test_numbers_are_written_in_one_way():
    assert percent(0.9432) == "94.3%"
    assert percent(None) == rate(None) == points(None) == precise(None) == "–"
    assert ends(None) == place(None) == effect(None) == p_value(None) == "–"
    assert plus_minus(None) == ""
    assert plus_minus(Interval(low=0.9, high=0.955)) == "±\u202f2.75"
    assert ends(Interval(low=-0.0012, high=0.025)) == "−0.12 to +2.50"
    assert (place((1, 4)), place((3, 3))) == ("1\u202f–\u202f4", "3")
    assert [p_value(p) for p in (0.0004, 0.0123, 0.2, 1.0)] == ["< 0.001", "0.012", "0.20", "1.00"]
    assert (precise(0.94316), effect(-1.25)) == ("94.32", "−1.2")
    assert (points(0.0075), points(-0.0075)) == ("+0.75", "−0.75")
    assert (rate(0.01), rate(1e-05)) == ("0.01", "1e-05")
    assert count(1234567) == "1\u202f234\u202f567"
    assert (plural(1, "line"), plural(2, "line")) == ("1 line", "2 lines")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "0.2 s"), (59.6, "1 min 0 s"), (252, "4 min 12 s"), (431_872, "119 h 58 min")],
)
def test_durations_have_two_units(seconds, text):
    assert duration(seconds).replace("\u202f", " ") == text


def test_every_colour_is_its_own_and_has_a_dark_form():
    assert len({colour.light for colour in PALETTE.values()}) == len(PALETTE)
    css = css_variables()
    assert all(css.count(f"--{name}:") == 2 for name in PALETTE)
