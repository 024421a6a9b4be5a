"""What one stage of a run left: its candidates, each beside its evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from evoptim.errors import InputError
from evoptim.records import Candidate, Candidates, Outcome, Role, Score

_FINALS: Final[frozenset[Role]] = frozenset({"finalist", "baseline"})


@dataclass(frozen=True, slots=True)
class Scored:
    """One candidate with its score, or without one if no record was found."""

    generation: int
    protocol: str
    candidate: Candidate
    score: Score | None

    @property
    def outcome(self) -> Outcome:
        """How the evaluation ended."""
        return Outcome.MISSING if self.score is None else self.score.outcome

    @property
    def fitness(self) -> float | None:
        """Validation accuracy, a fraction; None if it failed."""
        return None if self.score is None else self.score.fitness


@dataclass(frozen=True)
class StageResult:
    """The records of a generation, or of the finals (which count as generation 0).

    Raises:
        InputError: the scores do not belong to the candidates.
    """

    generation: int
    candidates: Candidates
    scores: tuple[Score | None, ...]
    """One for each candidate, in the same order; None where no record was found."""

    def __post_init__(self) -> None:
        planned = self.candidates.candidates
        if len(planned) != len(self.scores):
            raise InputError(
                f"a stage needs one score or None for each candidate, got "
                f"{len(self.scores)} for {len(planned)}; read the stage again"
            )
        for candidate, score in zip(planned, self.scores, strict=True):
            if score is not None and score.subject != candidate.id:
                last = candidate.role in _FINALS
                where = "the finals" if last else f"generation {self.generation}"
                raise InputError(
                    f"evaluation {candidate.index} of {where} must be of {candidate.id}, got "
                    f"{score.subject}; restore the record or run again under another name"
                )

    def __iter__(self) -> Iterator[Scored]:
        for candidate, score in zip(self.candidates.candidates, self.scores, strict=True):
            yield Scored(self.generation, self.candidates.protocol, candidate, score)


def evolved(stages: Iterable[StageResult]) -> tuple[Scored, ...]:
    """Every genome that the search evaluated, particles that were scored again included."""
    return tuple(s for stage in stages for s in stage if s.candidate.role not in _FINALS)


def finals(stages: Iterable[StageResult]) -> tuple[Scored, ...]:
    """Whatever was evaluated in the finals: the best genomes and the baselines."""
    return tuple(s for stage in stages for s in stage if s.candidate.role in _FINALS)


def by_generation(stages: Iterable[StageResult]) -> dict[int, tuple[Scored, ...]]:
    """Every genome that was evaluated, under the number of its generation, in their order."""
    found: dict[int, list[Scored]] = {}
    for one in evolved(stages):
        found.setdefault(one.generation, []).append(one)
    return {generation: tuple(found[generation]) for generation in sorted(found)}
