"""One row of the comparison: an evolved optimizer or a baseline, with its intervals."""

from __future__ import annotations

from statistics import stdev

from evoptim.analysis.noise import Interval, Spread, accuracy_interval
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
    """What is known about one optimizer. Accuracies are fractions."""

    name: str
    """``Evolved 1`` for the best of the search, or the baseline's name."""
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
    """Peak learning rate that the sweep chose."""
    validation_accuracy: float | None
    """The fitness: mean over seeds of the best epoch's. Used to choose."""
    validation_loss: float | None
    validation_interval: Interval | None
    test_accuracy: float | None
    """Mean over seeds at those epochs. Never used to choose."""
    test_interval: Interval | None
    seeds: int
    """Full trainings behind these numbers."""
    test_deviation: float | None
    """Sample standard deviation of the test accuracy over seeds; None for a single one."""
    steps: int


class Noise(Value):
    """What the intervals of all compared optimizers share."""

    validation_images: int | None
    """How many images fitness was measured on; None leaves its intervals out."""
    test_images: int | None
    """Likewise for the images that were kept out of every selection."""
    validation_spread: Spread | None
    test_spread: Spread | None


def build_result(name: str, entry: ArchiveEntry, score: Score | None, noise: Noise) -> Result:
    """Put an archive entry beside the intervals of its accuracies.

    Args:
        name: how the report calls it.
        entry: its place in the archive.
        score: what it was scored with; None if that record is missing.
        noise: what its intervals share with those of the others.
    """
    trainings = score.trainings if score else 0
    validation, test = (score.seed_validation, score.seed_test) if score else ((), ())
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
        validation_interval=_interval(
            validation, trainings, noise.validation_images, noise.validation_spread
        ),
        test_accuracy=entry.test_accuracy,
        test_interval=_interval(test, trainings, noise.test_images, noise.test_spread),
        seeds=trainings,
        test_deviation=stdev(test) if len(test) > 1 else None,
        steps=entry.steps,
    )


def _interval(
    by_seed: tuple[float, ...], trainings: int, images: int | None, spread: Spread | None
) -> Interval | None:
    # A seed without an accuracy leaves no mean to put an interval around.
    if images is None or not by_seed or len(by_seed) < trainings:
        return None
    return accuracy_interval(by_seed, images, spread)
