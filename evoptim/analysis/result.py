"""One row of the comparison: an evolved optimizer or a baseline, with its intervals."""

from __future__ import annotations

from statistics import stdev

from evoptim.analysis.noise import Interval, accuracy_interval
from evoptim.config import Value
from evoptim.records import ArchiveEntry, Evaluation, Outcome

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


def build_result(
    name: str,
    entry: ArchiveEntry,
    evaluation: Evaluation | None,
    validation_images: int | None,
    test_images: int | None,
) -> Result:
    """Put an archive entry beside the intervals of its accuracies.

    Args:
        name: how the report calls it.
        entry: its place in the archive.
        evaluation: the record behind the entry; None if it is missing.
        validation_images: how many images fitness was measured on; None leaves intervals out.
        test_images: how many images were kept out of every selection; likewise.
    """
    trainings = evaluation.trainings if evaluation else ()
    validation = [
        training.curve[training.best_epoch].validation_accuracy
        for training in trainings
        if training.best_epoch is not None
    ]
    test = [t.test_accuracy for t in trainings if t.test_accuracy is not None]
    return Result(
        name=name,
        id=entry.candidate.id,
        formula=entry.candidate.formula,
        evolved=entry.candidate.role != "baseline",
        generation=entry.generation,
        protocol=entry.protocol,
        outcome=entry.outcome,
        rate=entry.rate,
        validation_accuracy=entry.fitness,
        validation_loss=entry.validation_loss,
        validation_interval=_interval(validation, len(trainings), validation_images),
        test_accuracy=entry.test_accuracy,
        test_interval=_interval(test, len(trainings), test_images),
        seeds=len(trainings),
        test_deviation=stdev(test) if len(test) > 1 else None,
        steps=entry.steps,
    )


def _interval(by_seed: list[float], seeds: int, images: int | None) -> Interval | None:
    # A seed without an accuracy leaves no mean to put an interval around.
    if images is None or not by_seed or len(by_seed) < seeds:
        return None
    return accuracy_interval(by_seed, images)
