"""Formulas without the parentheses that only their notation as text needs."""

from __future__ import annotations

import re

_OPEN, _CLOSE = r"\left(", r"\right)"
_FENCE = re.compile(r"\\left\(|\\right\)")
_SYMBOL = r"(?:[a-z]|\\hat ?\\?[a-z]+)"
_ATOM = re.compile(_SYMBOL)
_FACTOR = re.compile(
    rf"{_SYMBOL}|\\operatorname{{sign}}\({_SYMBOL}\)|\\tfrac{{[^{{}}]*}}{{[^{{}}]*}}"
)
_FLAT = re.compile(r"\\left\(((?:(?!\\left\(|\\right\)|frac|sqrt).)*)\\right\)")
"""Parentheses around something that is no taller than a line."""
_FUNCTION_ENDS = re.compile(r"[A-Za-z}'|)]$")


def tidy(latex: str) -> str:
    r"""Drop doubled parentheses and those around one symbol that is not a function's argument.

    ``\arctan\left(\left(a+b\right)\right)`` keeps one pair; ``\left(g\right) \cdot \left(x\right)``
    keeps none; ``\tanh\left(g\right)`` keeps its own, which need not grow: ``\tanh(g)``.
    """
    latex, flat = _drop(latex), 1
    while flat:
        latex, flat = _FLAT.subn(r"(\1)", latex)
    return latex


def _drop(latex: str) -> str:
    pieces: list[str] = [""]
    position = 0
    for fence in _FENCE.finditer(latex):
        pieces[-1] += latex[position : fence.start()]
        position = fence.end()
        if fence.group() == _OPEN:
            pieces.append("")
        elif len(pieces) == 1:
            return latex
        else:
            content = pieces.pop()
            pieces[-1] += _fenced(content, before=pieces[-1], after=latex[position : position + 1])
    pieces[-1] += latex[position:]
    return pieces[0] if len(pieces) == 1 else latex


def _fenced(content: str, before: str, after: str) -> str:
    if _is_fenced(content):
        content = content[len(_OPEN) : -len(_CLOSE)]
    raised = after in ("^", "_")
    bare = (_ATOM if raised else _FACTOR).fullmatch(content)
    if bare and not _FUNCTION_ENDS.search(before):
        return content
    return f"{_OPEN}{content}{_CLOSE}"


def _is_fenced(content: str) -> bool:
    """Whether one pair of parentheses encloses all of the content."""
    if not (content.startswith(_OPEN) and content.endswith(_CLOSE)):
        return False
    depth = 0
    for fence in _FENCE.finditer(content):
        depth += 1 if fence.group() == _OPEN else -1
        if depth == 0:
            return fence.end() == len(content)
    return False
