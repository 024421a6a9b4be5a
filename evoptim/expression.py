"""The text notation of formulas: a grammar made of the operators' symbols, and its parser.

A symbol such as ``clip(X, Y)`` is a template: literal text with holes. The grammar of the update
graph and that of decay functions are both lists of such templates over their own leaves. An
input of the update graph may be scaled by a decay function: ``[decay][X]``.

Parsing is a packrat descent: every position is tried once, so time is linear in the length of
the text, and text is only ever compared, never evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evoptim.errors import InputError

MAX_TEXT = 65_536
"""Characters of the longest text that is looked at."""

_MAX_NESTING = 40
"""Far above the deepest legal formula, far below Python's recursion limit."""


class ExpressionError(InputError):
    """Text that is not a formula.

    Attributes:
        position: Offset of the first offending character, from 0.
        found: The offending token, or ``end of text``.
        expected: What could have stood there.
    """

    def __init__(self, what: str, text: str, position: int, expected: Sequence[str]) -> None:
        self.position = position
        self.found = _token(text, position)
        self.expected = tuple(dict.fromkeys(expected))
        super().__init__(
            f"{what}: at position {position} found {self.found}, "
            f"expected {' or '.join(self.expected)}, in {_shorten(text)!r}"
        )


def _token(text: str, position: int) -> str:
    if position >= len(text):
        return "end of text"
    match = re.compile(r"[A-Za-z_]{1,40}[0-9]{0,4}|[0-9.]{1,40}|.", re.DOTALL).match(text, position)
    return repr(match.group()) if match else repr(text[position])


def _shorten(text: str, limit: int = 120) -> str:
    return text if len(text) <= limit else text[:limit] + "…"


@dataclass(frozen=True)
class Term:
    """An operator applied to its inputs."""

    operator: str
    inputs: tuple[Input, ...]


@dataclass(frozen=True)
class Input:
    """A leaf's name or a term, perhaps scaled by a factor of another grammar."""

    of: str | Term
    factor: Input | None = None


@dataclass(frozen=True)
class Template:
    """A symbol cut at its holes: ``literals[0] hole literals[1] hole …``."""

    literals: tuple[str, ...]
    holes: tuple[int, ...]

    @staticmethod
    def of(symbol: str) -> Template:
        """Cut ``symbol`` at every X (hole 0) and Y (hole 1)."""
        pieces = re.split("([XY])", symbol)
        return Template(tuple(pieces[0::2]), tuple("XY".index(hole) for hole in pieces[1::2]))

    def fill(self, inputs: Sequence[str]) -> str:
        """The symbol with its holes filled."""
        filled = [self.literals[0]]
        for hole, literal in zip(self.holes, self.literals[1:], strict=True):
            filled += (inputs[hole], literal)
        return "".join(filled)


class Grammar:
    """Operators' symbols over leaves.

    Args:
        what: What the text is called in errors.
        symbols: Template of every operator, by name. A template that begins with a hole repeats
            that one input, as ``X/(1+|X|)`` does.
        leaves: The names that stand for themselves.
        factors: Grammar of the decays that may scale an input; None where there are none.
    """

    def __init__(
        self,
        what: str,
        symbols: Mapping[str, str],
        leaves: Sequence[str],
        factors: Grammar | None = None,
    ) -> None:
        self.what = what
        self.templates = {name: Template.of(symbol) for name, symbol in symbols.items()}
        self.factors = factors
        # The longest literal first: "1/(1+|" is tried before "1/(", and "g^2" before "g".
        self.prefix = sorted(
            (item for item in self.templates.items() if item[1].literals[0]),
            key=lambda item: -len(item[1].literals[0]),
        )
        self.postfix = [item for item in self.templates.items() if not item[1].literals[0]]
        self.leaves = sorted(leaves, key=len, reverse=True)

    def parse(self, text: str) -> Input:
        """Read a whole text.

        Raises:
            ExpressionError: with the position, the offending token and what was expected.
        """
        if len(text) > MAX_TEXT:
            raise InputError(f"{self.what}: a text may have {MAX_TEXT} characters, got {len(text)}")
        parser = _Parser(text, self.what)
        parsed = parser.input(self, 0)
        if parsed is None or parsed[0] < len(text):
            end = parsed[0] if parsed else 0
            if parsed is not None and parser.furthest <= end:
                raise ExpressionError(self.what, text, end, ["end of text"])
            raise ExpressionError(self.what, text, parser.furthest, parser.expected)
        return parsed[1]

    def write(self, term: Input) -> str:
        """The text that :meth:`parse` reads as ``term``."""
        if isinstance(term.of, str):
            text = term.of
        else:
            inputs = [self.write(each) for each in term.of.inputs]
            text = self.templates[term.of.operator].fill(inputs)
        if term.factor is None:
            return text
        assert self.factors is not None, "only a grammar with factors makes terms with one"
        return f"[{self.factors.write(term.factor)}][{text}]"


class _Parser:
    """One text, the positions already tried, and the furthest failure."""

    def __init__(self, text: str, what: str) -> None:
        self.text = text
        self.what = what
        self.known: dict[tuple[int, int], tuple[int, Input] | None] = {}
        self.furthest = 0
        self.expected: list[str] = []
        self.nesting = 0

    def input(self, grammar: Grammar, start: int) -> tuple[int, Input] | None:
        key = (id(grammar), start)
        if key not in self.known:
            self.nesting += 1
            if self.nesting > _MAX_NESTING:
                raise ExpressionError(
                    f"{self.what}: nested too deeply", self.text, start, ["fewer operators"]
                )
            self.known[key] = self._input(grammar, start)
            self.nesting -= 1
        return self.known[key]

    def _input(self, grammar: Grammar, start: int) -> tuple[int, Input] | None:
        found = self._scaled(grammar, start) or self._prefix(grammar, start)
        if found is None:
            self._expect(start, "an operator or one of " + ", ".join(sorted(grammar.leaves)))
            return None
        return self._postfix(grammar, start, found)

    def _scaled(self, grammar: Grammar, start: int) -> tuple[int, Input] | None:
        if grammar.factors is None or not self.text.startswith("[", start):
            return None
        factor = self.input(grammar.factors, start + 1)
        if factor is None or not self._literal("][", factor[0]):
            return None
        inner = self.input(grammar, factor[0] + 2)
        if inner is None or not self._literal("]", inner[0]):
            return None
        if inner[1].factor is not None:
            self._expect(factor[0] + 2, "an input without a second decay")
            return None
        return inner[0] + 1, Input(inner[1].of, factor[1])

    def _prefix(self, grammar: Grammar, start: int) -> tuple[int, Input] | None:
        for name, template in grammar.prefix:
            if self.text.startswith(template.literals[0], start):
                found = self._template(grammar, template, start)
                if found is not None:
                    return found[0], Input(Term(name, found[1]))
        for leaf in grammar.leaves:
            if self.text.startswith(leaf, start):
                return start + len(leaf), Input(leaf)
        return None

    def _template(
        self, grammar: Grammar, template: Template, start: int
    ) -> tuple[int, tuple[Input, ...]] | None:
        end = start + len(template.literals[0])
        inputs: list[Input] = []
        for literal in template.literals[1:]:
            found = self.input(grammar, end)
            if found is None or not self._literal(literal, found[0]):
                return None
            inputs.append(found[1])
            end = found[0] + len(literal)
        return end, tuple(inputs)

    def _postfix(self, grammar: Grammar, start: int, found: tuple[int, Input]) -> tuple[int, Input]:
        for name, template in grammar.postfix:
            end, inner = found
            whole = template.fill([self.text[start:end]])
            if self.text.startswith(whole, start):
                return self._postfix(
                    grammar, start, (start + len(whole), Input(Term(name, (inner,))))
                )
        return found

    def _literal(self, literal: str, start: int) -> bool:
        if self.text.startswith(literal, start):
            return True
        same = 0
        while self.text[start + same : start + same + 1] == literal[same]:
            same += 1
        self._expect(start + same, repr(literal[same:]))
        return False

    def _expect(self, position: int, what: str) -> None:
        if position > self.furthest:
            self.furthest, self.expected = position, []
        if position == self.furthest:
            self.expected.append(what)
