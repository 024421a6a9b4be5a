"""One row of the comparison: an evolved optimizer or a baseline, with its intervals."""

from __future__ import annotations

from statistics import stdev

from evoptim.analysis.noise import Interval, Spread, accuracy_interval
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


class Seeds(Value):
    """The accuracies of one optimizer under each training seed, as fractions."""

    validation: tuple[float, ...]
    """At the best epoch of each training that has one."""
    test: tuple[float, ...]
    """At the same epochs."""
    trainings: int

    @staticmethod
    def of(evaluation: Evaluation | None) -> Seeds:
        """Those of a record; none if it is missing."""
        trainings = evaluation.trainings if evaluation else ()
        return Seeds(
            validation=tuple(
                training.curve[training.best_epoch].validation_accuracy
                for training in trainings
                if training.best_epoch is not None
            ),
            test=tuple(t.test_accuracy for t in trainings if t.test_accuracy is not None),
            trainings=len(trainings),
        )


class Noise(Value):
    """What the intervals of all compared optimizers share."""

    validation_images: int | None
    """How many images fitness was measured on; None leaves its intervals out."""
    test_images: int | None
    """Likewise for the images that were kept out of every selection."""
    validation_spread: Spread | None
    test_spread: Spread | None


def build_result(name: str, entry: ArchiveEntry, seeds: Seeds, noise: Noise) -> Result:
    """Put an archive entry beside the intervals of its accuracies.

    Args:
        name: how the report calls it.
        entry: its place in the archive.
        seeds: its accuracies under each seed.
        noise: what its intervals share with those of the others.
    """
    return Result(
        name=name,
        id=entry.candidate.id,
        formula=entry.candidate.formula,
        sign=(entry.candidate.gene or {}).get("sign", 1),
        evolved=entry.candidate.role != "baseline",
        generation=entry.generation,
        protocol=entry.protocol,
        outcome=entry.outcome,
        rate=entry.rate,
        validation_accuracy=entry.fitness,
        validation_loss=entry.validation_loss,
        validation_interval=_interval(
            seeds.validation, seeds.trainings, noise.validation_images, noise.validation_spread
        ),
        test_accuracy=entry.test_accuracy,
        test_interval=_interval(seeds.test, seeds.trainings, noise.test_images, noise.test_spread),
        seeds=seeds.trainings,
        test_deviation=stdev(seeds.test) if len(seeds.test) > 1 else None,
        steps=entry.steps,
    )


def _interval(
    by_seed: tuple[float, ...], trainings: int, images: int | None, spread: Spread | None
) -> Interval | None:
    # A seed without an accuracy leaves no mean to put an interval around.
    if images is None or not by_seed or len(by_seed) < trainings:
        return None
    return accuracy_interval(by_seed, images, spread)
