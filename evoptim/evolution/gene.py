"""What the genetic algorithm needs of whatever it evolves."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any, Protocol, TypeVar

from evoptim.records import Integrity

G = TypeVar("G")


class Gene(Protocol[G]):
    """One evolvable part of training: sample, mutate, validate, serialise.

    Values are immutable. Every method is a pure function of its arguments; randomness comes from
    the generator that is passed in.
    """

    def sample(self, rng: Random) -> G:
        """Draw a legal value from the initial distribution."""

    def mutate(self, value: G, rng: Random) -> tuple[G, str]:
        """A legal value one change away, and the change in words."""

    def admit(self, value: G) -> tuple[G, Integrity] | None:
        """The value as it enters the search, or None if it fails the gene's own test."""

    def identity(self, value: G) -> str:
        """Content id: equal for values that behave alike in an obvious way."""

    def fingerprint(self, value: G) -> str | None:
        """What the value does, as two texts joined by ``-``; values that do the same have at least
        one in common. None for one that is never to be taken for another.
        """

    def formula(self, value: G) -> str:
        """The value as people read it."""

    def to_json(self, value: G) -> dict[str, Any]:
        """The value as JSON values."""

    def from_json(self, document: Mapping[str, Any]) -> G:
        """The inverse of :meth:`to_json`; raises InputError for anything else."""
