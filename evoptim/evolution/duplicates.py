"""Marks candidates that do the same as an earlier one of the run: they share its evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from evoptim.records import Candidate, Place


@dataclass
class Firsts:
    """The first candidate of a run that does what it does, by either half of its fingerprint.

    Candidates are told in the order of the run: by generation, then by index.
    """

    _found: dict[str, tuple[str, Place]] = field(default_factory=dict)

    def mark(self, candidates: Iterable[Candidate], generation: int) -> Iterator[Candidate]:
        """The candidates of one generation; those that are duplicates say of whom."""
        return (self._marked(each, generation) for each in candidates)

    def remember(self, candidates: Iterable[Candidate], generation: int) -> None:
        """Take note of candidates that are marked already."""
        for each in candidates:
            if each.same_as is None and each.fingerprint is not None:
                self._keep(each, each.fingerprint, generation)

    def _marked(self, candidate: Candidate, generation: int) -> Candidate:
        if candidate.fingerprint is None:
            return candidate
        for half in candidate.fingerprint.split("-"):
            if half in self._found:
                same_as, twin = self._found[half]
                return candidate.model_copy(update={"same_as": same_as, "twin": twin})
        self._keep(candidate, candidate.fingerprint, generation)
        return candidate

    def _keep(self, candidate: Candidate, fingerprint: str, generation: int) -> None:
        place = Place(generation=generation, index=candidate.index)
        for half in fingerprint.split("-"):
            self._found.setdefault(half, (candidate.id, place))
