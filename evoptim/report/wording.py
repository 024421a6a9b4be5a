"""Numbers in words: one way of writing each kind, for all of the report."""

from __future__ import annotations

from evoptim.analysis import Interval

NOTHING = "–"
"""Stands for a number that does not exist."""


def percent(fraction: float | None) -> str:
    """An accuracy, such as ``94.3%``."""
    return NOTHING if fraction is None else f"{100 * fraction:.1f}%"


def precise(fraction: float | None) -> str:
    """A mean of several accuracies, in percent, such as ``94.31``."""
    return NOTHING if fraction is None else f"{100 * fraction:.2f}"


def plus_minus(of: Interval | None) -> str:
    """Half of the width of an interval, in percent, such as ``± 0.42``; nothing without one."""
    return "" if of is None else f"±\u202f{100 * of.half:.2f}"


def ends(of: Interval | None) -> str:
    """The ends of an interval of a difference, in points, such as ``+0.20 to +1.10``."""
    return NOTHING if of is None else f"{points(of.low)} to {points(of.high)}"


def effect(size: float | None) -> str:
    """An effect size, such as ``+1.3``."""
    return NOTHING if size is None else f"{size:+.1f}".replace("-", "−")


def place(ranks: tuple[int, int] | None) -> str:
    """The places that an optimizer may have, such as ``1 – 4``, or one place."""
    if ranks is None:
        return NOTHING
    first, last = ranks
    return str(first) if first == last else f"{first}\u202f–\u202f{last}"


def p_value(p: float | None) -> str:
    """A p-value, such as ``0.012`` or ``< 0.001``."""
    if p is None:
        return NOTHING
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def points(gain: float | None) -> str:
    """A signed difference of accuracies in percentage points, such as ``+0.75``."""
    if gain is None:
        return NOTHING
    return f"{100 * gain:+.2f}".replace("-", "−")


def rate(value: float | None) -> str:
    """A learning rate, such as ``0.01`` or ``1e-05``."""
    return NOTHING if value is None else f"{value:g}"


def count(number: int) -> str:
    """A whole number with thin spaces between thousands."""
    return f"{number:,}".replace(",", "\u202f")


def power(number: float | None) -> str:
    """A large number with two digits, such as ``3.1 · 10¹²``."""
    if number is None:
        return NOTHING
    if number == 0.0:
        return "0"
    digits, _, exponent = f"{number:.1e}".partition("e")
    raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{digits}\u202f·\u202f10{raised}"


def duration(seconds: float) -> str:
    """A time in its two largest units, such as ``4 min 12 s``."""
    if seconds < 9.95:
        return f"{seconds:.1f}\u202fs"
    minutes, second = divmod(round(seconds), 60)
    if minutes >= 60:
        hours, minute = divmod(round(seconds / 60), 60)
        return f"{count(hours)}\u202fh {minute}\u202fmin"
    return f"{minutes}\u202fmin {second}\u202fs" if minutes else f"{second}\u202fs"


def plural(number: int, noun: str) -> str:
    """A number and its noun, such as ``1 generation`` or ``4 generations``."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"
