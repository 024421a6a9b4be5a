"""Stopping a training that lies far below those of the population.

It is a screen of the run: the same candidate may be stopped in one run and trained to its end in
another. So the verdict comes from the learning curve alone, and is the same for one that is just
being trained as for one that another run has trained to its end.
"""

from __future__ import annotations

from collections.abc import Sequence

from evoptim.config import FullTraining
from evoptim.records import Evaluation, Outcome, best_epoch_of


def hopeless_after(accuracies: Sequence[float], bars: Sequence[float]) -> int | None:
    """The first epoch, from 1, by whose end no epoch has reached its bar; None if there is none.

    Args:
        accuracies: validation accuracy after each epoch after which the training goes on.
        bars: what the best of them has to reach by then; epochs beyond have no bar.
    """
    best = 0.0
    for epoch, (accuracy, bar) in enumerate(zip(accuracies, bars, strict=False), start=1):
        best = max(best, accuracy)
        if best < bar:
            return epoch
    return None


def why(accuracies: Sequence[float], bars: Sequence[float]) -> str:
    """The verdict on a training that was stopped after these epochs, in words."""
    epoch = len(accuracies)
    return (
        f"by epoch {epoch} the best validation accuracy was {max(accuracies):.1%}, the population "
        f"demanded {bars[epoch - 1]:.1%}"
    )


def with_bars(evaluation: Evaluation, spec: FullTraining, bars: Sequence[float]) -> Evaluation:
    """What a whole evaluation would have been with these bars: the same, or one that was stopped.

    The training under the first seed decides. Its cost is put at its share of the steps.

    Args:
        evaluation: one without bars that has not raised: what raised did not keep its curve.
        spec: the full training of its protocol.
        bars: as for :func:`hopeless_after`.
    """
    if not evaluation.trainings:
        return evaluation
    first = evaluation.trainings[0]
    accuracies = [epoch.validation_accuracy for epoch in first.curve]
    goes_on = accuracies[:-1] if first.stopped in ("completed", "below-bar") else accuracies
    epoch = hopeless_after(goes_on, bars)
    if epoch is None:
        return evaluation
    curve = first.curve[:epoch]
    training = first.model_copy(
        update={
            "curve": curve,
            "steps": epoch * spec.steps_per_epoch,
            "stopped": "hopeless",
            "best_epoch": best_epoch_of(curve),
            "test_loss": None,
            "test_accuracy": None,
        }
    )
    left_out = sum(each.steps for each in evaluation.trainings) - training.steps
    steps = evaluation.steps - left_out
    cost = evaluation.cost
    return evaluation.model_copy(
        update={
            "outcome": Outcome.STOPPED,
            "fitness": None,
            "validation_loss": None,
            "test_accuracy": None,
            "trainings": (training,),
            "steps": steps,
            "message": why(accuracies[:epoch], bars),
            "cost": cost.model_copy(update={"seconds": cost.seconds * steps / evaluation.steps}),
        }
    )
