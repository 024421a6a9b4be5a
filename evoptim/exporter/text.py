"""Pieces of Python source: expressions that know how tightly they bind, and numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

SUM, PRODUCT, SIGN, ATOM = range(4)
"""How tightly an expression binds, loosest first."""


@dataclass(frozen=True)
class Text:
    """An expression and its outermost binding."""

    text: str
    level: int = ATOM

    def within(self, level: int) -> str:
        """The text where at least ``level`` is needed: in parentheses if it binds more loosely."""
        return self.text if self.level >= level else f"({self.text})"


@dataclass(frozen=True)
class Template:
    """An expression with holes ``{0}``, ``{1}`` and, for a number, ``{c}``.

    ``holes`` has the binding that each of ``{0}``, ``{1}`` needs, ``number`` that of ``{c}``. A
    call needs none of its arguments.
    """

    text: str
    level: int = ATOM
    holes: tuple[int, ...] = (SUM, SUM)
    number: int = SUM

    def fill(self, inputs: Sequence[Text], number: Text | None = None, **names: str) -> Text:
        """The expression with its holes filled; float operations keep their order."""
        texts = [each.within(level) for each, level in zip(inputs, self.holes, strict=False)]
        constant = "" if number is None else number.within(self.number)
        return Text(self.text.format(*texts, c=constant, **names), self.level)


_KNOWN = {
    math.pi: Text("math.pi"),
    2 * math.pi: Text("2 * math.pi", PRODUCT),
    (0.9 + 0.999) / 3: Text("(0.9 + 0.999) / 3", PRODUCT),
    (0.99 + 0.999) / 3: Text("(0.99 + 0.999) / 3", PRODUCT),
    (0.999 + 0.9999) / 3: Text("(0.999 + 0.9999) / 3", PRODUCT),
}
_MOST_DIGITS = 8


def number_text(value: float) -> Text:
    """Source that evaluates to ``value`` to the last bit, as people would write it.

    >>> number_text(1.0 - 0.9).text
    '1 - 0.9'
    """
    if value in _KNOWN:
        return _KNOWN[value]
    text = re.sub(r"e([+-])0*(\d)", r"e\1\2", repr(value)).replace("e+", "e")
    rest = round(1 - value, 6)
    if len(text) > _MOST_DIGITS and 1 - rest == value:
        return Text(f"1 - {rest!r}", SUM)
    return Text(text, ATOM if value >= 0 else SIGN)
