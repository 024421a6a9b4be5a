"""The docstring of an exported file: formula, state, use, provenance."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from evoptim import __version__
from evoptim.decay import PRIMITIVES
from evoptim.exporter.curves import curve_text, primitives_of
from evoptim.exporter.statements import variable
from evoptim.exporter.subject import Subject
from evoptim.genome import latex
from evoptim.operands import BETAS, POWERS
from evoptim.update import Options

_WIDTH = 84
_PROGRESS = {
    r"\bD\(": "D(x) = 1 - tanh(x)^2",
    r"\bm\b": r"m = \left(2t \bmod T\right)/T",
    r"\bb\b": r"b = 0.95\left(1-(t+1)/T\right)",
}
_NOTATION = (
    "Notation: g gradient, w weight, t the step from 0, T the number of steps, x = t/T; v, s, lam "
    "the moving averages of g, g^2, g^3 with beta 0.9, 0.99, 0.999, and with a hat divided by "
    "1 - beta^n at the n-th gradient; eta the rate: lr times linear warm-up, hold and half a "
    "cosine down to 0."
)


def docstring(subject: Subject, example: Sequence[str]) -> str:
    """The module's docstring as source.

    Args:
        subject: what the file holds; all of its text comes from values, none from a user.
        example: lines of code that show how to use it.
    """
    provenance = (subject.provenance, subject.source, f"written by evoptim {__version__}")
    blocks = [
        subject.summary,
        subject.description,
        *_formula(subject),
        _wrapped(_NOTATION),
        _state(subject),
        "\n".join(["Use::", "", *(f"    {line}" for line in example)]),
        _wrapped(subject.use),
        _wrapped(f"Provenance: {'; '.join(filter(None, provenance))}."),
    ]
    text = "\n\n".join(block for block in blocks if block)
    assert '"""' not in text, "formulas and names have no quotes"
    return f'r"""{text}\n"""'


def meanings(subject: Subject) -> dict[str, str]:
    """What every state tensor holds, by its key."""
    found: dict[str, str] = {
        name: f"Moving average of {'g' if power == 1 else f'g^{power}'}, beta {BETAS[name]}"
        for name, power in POWERS.items()
    }
    found["momentum"] = "Momentum buffer"
    if subject.genome is not None:
        for each in subject.genome.state_slots():
            found.setdefault(each.name, each.meaning[:1].upper() + each.meaning[1:])
    names = subject.formula.rule(Options()).state
    return {name: found.get(name, f"The average called {name} above") for name in names}


def _formula(subject: Subject) -> list[str]:
    genome, formula = subject.genome, subject.formula
    blocks = []
    if genome is not None:
        canonical = genome.canonical()
        blocks.append(f"Update rule, in the notation of the search:\n\n{_block(str(genome))}")
        tex = rf"u_t = {latex.update(canonical)},\quad {latex.movement(canonical)}"
        blocks.append(f"In LaTeX:\n\n{_block(tex)}")
    curves = {f"d_{k}(t)": curve for k, curve in enumerate(formula.curves, start=1)}
    if formula.rate_curve is not None:
        curves["rate factor"] = formula.rate_curve
    if curves:
        rows = [f"{name} = {curve_text(curve)}" for name, curve in curves.items()]
        rows += [f"{name} = {PRIMITIVES[name].latex}" for name in primitives_of([*curves.values()])]
        used = " ".join(rows)
        rows += [text for name, text in _PROGRESS.items() if re.search(name, used)]
        blocks.append("\n".join(["Functions of training progress:", "", *map(_block, rows)]))
    return blocks


def _state(subject: Subject) -> str:
    rows = [f"{name}{_here(name)}: {meaning}." for name, meaning in meanings(subject).items()]
    count = len(rows)
    plural = "tensors" if count != 1 else "tensor"
    head = f"State: {count} {plural} of the weight's shape for every weight tensor"
    if not rows:
        return "State: none but the number of steps."
    return "\n".join([f"{head}.", "", *(_block(row) for row in rows)])


def _here(name: str) -> str:
    """What the source calls a state tensor whose key is another word."""
    return "" if variable(name) == name else f", here {variable(name)}"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _block(text: str) -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent="    ",
        subsequent_indent="        ",
        break_long_words=False,
        break_on_hyphens=False,
    )
