"""What one stage of a run left: its candidates, each beside its evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from evoptim.errors import InputError
from evoptim.records import Candidate, Candidates, Evaluation, Outcome


@dataclass(frozen=True)
class Scored:
    """One candidate with its evaluation, or without one if none was found."""

    generation: int
    protocol: str
    candidate: Candidate
    evaluation: Evaluation | None

    @property
    def outcome(self) -> Outcome:
        """How the evaluation ended."""
        return Outcome.MISSING if self.evaluation is None else self.evaluation.outcome

    @property
    def fitness(self) -> float | None:
        """Validation accuracy, a fraction; None if it failed."""
        return None if self.evaluation is None else self.evaluation.fitness


@dataclass(frozen=True)
class StageResult:
    """The records of a generation, or of the baselines (which count as generation 0).

    Raises:
        InputError: the evaluations do not belong to the candidates.
    """

    generation: int
    candidates: Candidates
    evaluations: tuple[Evaluation | None, ...]
    """One for each candidate, in the same order; None where no record was found."""

    def __post_init__(self) -> None:
        planned = self.candidates.candidates
        if len(planned) != len(self.evaluations):
            raise InputError(
                f"a stage needs one evaluation or None for each candidate, got "
                f"{len(self.evaluations)} for {len(planned)}; read the stage again"
            )
        for candidate, evaluation in zip(planned, self.evaluations, strict=True):
            if evaluation is not None and evaluation.subject != candidate.id:
                raise InputError(
                    f"evaluation {candidate.index} of generation {self.generation} must be of "
                    f"{candidate.id}, got {evaluation.subject}; restore the record or run again "
                    f"under another name"
                )

    def __iter__(self) -> Iterator[Scored]:
        for candidate, evaluation in zip(self.candidates.candidates, self.evaluations, strict=True):
            yield Scored(self.generation, self.candidates.protocol, candidate, evaluation)


def evolved(stages: Iterable[StageResult]) -> tuple[Scored, ...]:
    """Every genome that was evaluated, particles that were scored again included."""
    return tuple(s for stage in stages for s in stage if s.candidate.role != "baseline")


def baselines(stages: Iterable[StageResult]) -> tuple[Scored, ...]:
    """Every baseline that was evaluated."""
    return tuple(s for stage in stages for s in stage if s.candidate.role == "baseline")
