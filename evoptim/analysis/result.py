"""One row of a table: an evolved optimizer or a baseline, with its intervals."""

from __future__ import annotations

from statistics import stdev

from evoptim.analysis.noise import Interval, mean_interval
from evoptim.config import Value
from evoptim.records import ArchiveEntry, Outcome, Score

BASELINE_NAMES = {
    "sgd": "SGD",
    "momentum": "SGD with momentum",
    "nesterov": "Nesterov",
    "rmsprop": "RMSProp",
    "adam": "Adam",
    "adamw": "AdamW",
}
"""How the baselines are called in text."""


class Result(Value):
    """What one protocol measured of an optimizer. Accuracies are fractions."""

    name: str
    """``Evolved 3`` for the one of rank 3 in the search, or the baseline's name."""
    id: str
    """Content id of the genome, or the baseline's short name."""
    formula: str
    sign: int
    """+1 moves against the update that the formula gives, -1 along it; +1 for baselines."""
    evolved: bool
    generation: int
    """The generation that first evaluated it; 0 for baselines."""
    protocol: str
    """Content id of the protocol that scored it."""
    outcome: Outcome
    rate: float | None
    """Peak learning rate of its trainings."""
    validation_accuracy: float | None
    """The fitness: mean over seeds of the best epoch's. Used to choose."""
    validation_loss: float | None
    validation_interval: Interval | None
    """None for a single seed."""
    test_accuracy: float | None
    """Mean over seeds at those epochs. Never used to choose; None outside of the finals."""
    test_interval: Interval | None
    seeds: int
    """Full trainings behind these numbers."""
    test_deviation: float | None
    """Sample standard deviation of the test accuracy over seeds; None for a single one."""
    steps: int


class Finalist(Result):
    """An optimizer in the finals."""

    rank: int
    """Place by validation accuracy under the fresh seeds; 1 is the best."""
    ranks: tuple[int, int] | None
    """The best and the worst place that it may have, given the noise; None if it failed."""
    search_accuracy: float | None
    """Its fitness in the search, under the same protocol with other seeds; None for baselines."""
    seed_validation: tuple[float, ...]
    """Validation accuracy under each seed."""
    seed_test: tuple[float, ...]
    """Test accuracy under each seed."""

    @property
    def shrinkage(self) -> float | None:
        """How much better it looked in the search, which chose it for that."""
        if self.search_accuracy is None or self.validation_accuracy is None:
            return None
        return self.search_accuracy - self.validation_accuracy


def name_of(entry: ArchiveEntry, rank: int) -> str:
    """How people call an optimizer; ``rank`` is that of an evolved one in the search."""
    if entry.candidate.role == "baseline":
        return BASELINE_NAMES.get(entry.candidate.id, entry.candidate.id)
    return f"Evolved {rank}"


def build_result(name: str, entry: ArchiveEntry, score: Score | None) -> Result:
    """Put an archive entry beside the intervals of its accuracies.

    Args:
        name: how the report calls it.
        entry: its place in the archive.
        score: what it was scored with; None if that record is missing.
    """
    validation, test = by_seed(score)
    return Result(
        name=name,
        id=entry.candidate.id,
        formula=entry.candidate.formula,
        sign=1 if entry.candidate.gene is None else entry.candidate.gene.get("sign", 1),
        evolved=entry.candidate.role != "baseline",
        generation=entry.generation,
        protocol=entry.protocol,
        outcome=entry.outcome,
        rate=entry.rate,
        validation_accuracy=entry.fitness,
        validation_loss=entry.validation_loss,
        validation_interval=mean_interval(validation),
        test_accuracy=entry.test_accuracy,
        test_interval=mean_interval(test),
        seeds=score.trainings if score else 0,
        test_deviation=stdev(test) if len(test) > 1 else None,
        steps=entry.steps,
    )


def by_seed(score: Score | None) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Validation and test accuracy under each seed; nothing of one that failed."""
    if score is None or score.fitness is None:
        return (), ()
    return score.seed_validation, score.seed_test
