"""What of a cheap evaluation might rank optimizers. More is better; None is worse than anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from types import MappingProxyType

from evoptim.records import Epoch, Evaluation

Feature = Callable[[Evaluation], "float | None"]
OfCurve = Callable[[Sequence[Epoch]], "float | None"]
"""Of the learning curve of one full training."""


def mean_over_seeds(of_curve: OfCurve) -> Feature:
    """The mean over the full trainings; None if the evaluation failed or a curve has none."""

    def feature(evaluation: Evaluation) -> float | None:
        if evaluation.fitness is None:
            return None
        values = [of_curve(training.curve) for training in evaluation.trainings]
        known = [value for value in values if value is not None]
        return fmean(known) if known and len(known) == len(values) else None

    return feature


def first_seed(of_curve: OfCurve) -> Feature:
    """Of the first training alone: what an evaluation without repetitions would have seen."""

    def feature(evaluation: Evaluation) -> float | None:
        return None if evaluation.fitness is None else of_curve(evaluation.trainings[0].curve)

    return feature


def best_accuracy(curve: Sequence[Epoch]) -> float:
    return max(row.validation_accuracy for row in curve)


def mean_accuracy(curve: Sequence[Epoch]) -> float:
    """The area under the curve: it rewards speed as well as the end."""
    return fmean(row.validation_accuracy for row in curve)


def least_loss(curve: Sequence[Epoch]) -> float | None:
    losses = [row.validation_loss for row in curve if row.validation_loss is not None]
    return -min(losses) if losses else None


def accuracy_at(share: float) -> OfCurve:
    """Validation accuracy after a share of the training; 1 is its end."""
    return lambda curve: _row(curve, share).validation_accuracy


def loss_at(share: float) -> OfCurve:
    return lambda curve: _negative(_row(curve, share).validation_loss)


def slope_from(share: float) -> OfCurve:
    """Validation accuracy still gained after a share of the training."""
    return lambda curve: curve[-1].validation_accuracy - _row(curve, share).validation_accuracy


def last_training_loss(curve: Sequence[Epoch]) -> float:
    return -curve[-1].train_loss


def _row(curve: Sequence[Epoch], share: float) -> Epoch:
    return curve[max(0, round(share * len(curve)) - 1)]


def _negative(loss: float | None) -> float | None:
    return None if loss is None else -loss


def best_probe(evaluation: Evaluation) -> float | None:
    """The best training accuracy that the sweep saw."""
    return max((probe.score for probe in evaluation.probes), default=None)


def mean_probe(evaluation: Evaluation) -> float | None:
    """The mean over the sweep's rates: it rewards training at many of them."""
    return fmean(probe.score for probe in evaluation.probes) if evaluation.probes else None


FITNESS = "validation accuracy"

FEATURES: Mapping[str, Feature] = MappingProxyType(
    {
        FITNESS: lambda evaluation: evaluation.fitness,
        "validation accuracy, first seed": first_seed(best_accuracy),
        "mean validation accuracy of epochs": mean_over_seeds(mean_accuracy),
        "validation accuracy at 1/4": mean_over_seeds(accuracy_at(0.25)),
        "validation accuracy at 1/2": mean_over_seeds(accuracy_at(0.5)),
        "validation accuracy, slope from 1/4": mean_over_seeds(slope_from(0.25)),
        "validation accuracy, slope from 1/2": mean_over_seeds(slope_from(0.5)),
        "validation loss, least": mean_over_seeds(least_loss),
        "validation loss, last": mean_over_seeds(loss_at(1.0)),
        "validation loss at 1/2": mean_over_seeds(loss_at(0.5)),
        "training loss, last": mean_over_seeds(last_training_loss),
        "sweep's best training accuracy": best_probe,
        "sweep's mean training accuracy": mean_probe,
        "sweep's rate": lambda evaluation: evaluation.rate,
    }
)
