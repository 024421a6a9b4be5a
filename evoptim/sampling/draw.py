"""Weighted draws from a generator that is always passed in, never global."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import TypeVar

from evoptim.errors import InputError

T = TypeVar("T")

_ATTEMPTS = 20_000
"""Under the default probabilities nine draws in ten are legal."""


def generator(*address: int | str) -> Random:
    """The generator that belongs to ``address``, such as (run seed, generation, particle, child).

    Randomness is addressed, not consumed: parallel order, retries and resumed runs change nothing.
    """
    text = "/".join(f"{type(part).__name__}:{part}" for part in address)
    return Random(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big"))


def chance(rng: Random, probability: float) -> bool:
    """True with ``probability``."""
    return rng.random() < probability


def choose(
    rng: Random, names: Iterable[T], weights: Mapping[T, float], *, otherwise: float = 1.0
) -> T:
    """One of ``names``, weighted; a name without a weight has ``otherwise``.

    Raises:
        ValueError: nothing can be chosen: all weights are 0.
    """
    if not weights:
        # The common case, several times faster than adding up equal weights.
        equal = list(names)
        return equal[int(rng.random() * len(equal))]
    options = [(name, weights.get(name, otherwise)) for name in names]
    total = sum(weight for _, weight in options)
    if not total > 0.0:
        raise ValueError(f"nothing to choose from: {options}")
    at = rng.random() * total
    for name, weight in options:
        at -= weight
        if at < 0.0 < weight:
            return name
    return next(name for name, weight in reversed(options) if weight > 0.0)


def possible(names: Iterable[T], weights: Mapping[T, float]) -> list[T]:
    """Those of ``names`` that have a weight above 0."""
    return [name for name in names if weights.get(name, 1.0) > 0.0]


def first_legal(
    rng: Random, draw: Callable[[Random], T | None], legal: Callable[[T], bool], what: str
) -> T:
    """Draw until legal: the distribution conditional on legality. None counts as illegal.

    Raises:
        InputError: the probabilities give next to nothing legal.
    """
    for _ in range(_ATTEMPTS):
        value = draw(rng)
        if value is not None and legal(value):
            return value
    raise InputError(
        f"{_ATTEMPTS} draws gave no legal {what}: bring the probabilities of search.sampling "
        "nearer to their defaults"
    )
