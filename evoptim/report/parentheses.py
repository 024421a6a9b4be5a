"""Formulas without the parentheses that only their notation as text needs."""

from __future__ import annotations

import re

_OPEN, _CLOSE = r"\left(", r"\right)"
_FENCE = re.compile(r"\\left\(|\\right\)")
_SYMBOL = r"(?:[a-z]|\\hat ?\\?[a-z]+)"
_ATOM = re.compile(_SYMBOL)
_FACTOR = re.compile(rf"{_SYMBOL}|\\tfrac{{[^{{}}]*}}{{[^{{}}]*}}")
_NAME = r"(?:\\operatorname{\w+}(?:_{[^{}]*})?|\\[a-z]+)"
_CALL = re.compile(rf"{_NAME}(?:\\left)?\((?P<argument>.*)\)")
_FLAT = re.compile(r"\\left\(((?:(?!\\left\(|\\right\)|frac|sqrt).)*)\\right\)")
"""Parentheses around something that is no taller than a line."""
_FUNCTION_ENDS = re.compile(r"[A-Za-z}'|)]$")
_OPENED = re.compile(r"(?:^|(?<!\\), |{|\\left\\?\|)$")
"""What comes before an input that other delimiters enclose already; a comma after a backslash is a
thin space, which encloses nothing."""
_CLOSED = re.compile(r"\\right|,|}")
"""What comes after one."""


def tidy(latex: str) -> str:
    r"""Drop parentheses that enclose what is enclosed already, one symbol or one function.

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
            content, rest = pieces.pop(), latex[position:]
            nested = len(pieces) > 1 or bool(pieces[0])
            if nested and _OPENED.search(pieces[-1]) and _CLOSED.match(rest):
                pieces[-1] += content
            else:
                pieces[-1] += _fenced(content, before=pieces[-1], raised=rest[:1] in ("^", "_"))
    pieces[-1] += latex[position:]
    return pieces[0] if len(pieces) == 1 else latex


def _fenced(content: str, before: str, raised: bool) -> str:
    called = not raised and _is_call(content)
    bare = called or (_ATOM if raised else _FACTOR).fullmatch(content)
    if not bare or _FUNCTION_ENDS.search(before):
        return f"{_OPEN}{content}{_CLOSE}"
    apart = called and before.rstrip()[-1:] in (*"0123456789", ")")
    return rf"\, {content}" if apart else content


def _is_call(content: str) -> bool:
    """Whether the content is one function of one pair of parentheses."""
    call = _CALL.fullmatch(content)
    if call is None:
        return False
    depth = 0
    for character in call["argument"]:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth < 0:
            return False
    return True
