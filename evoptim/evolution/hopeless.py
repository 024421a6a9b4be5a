"""What a training has to reach, by the learning curves of the present population."""

from __future__ import annotations

from itertools import accumulate

from evoptim.config import Hopeless
from evoptim.records import Evaluation, Population


def best_so_far(evaluation: Evaluation) -> tuple[float, ...]:
    """The best validation accuracy up to each epoch of the training under the first seed.

    Empty where there is none: the evaluation failed before it.
    """
    if not evaluation.trainings:
        return ()
    curve = evaluation.trainings[0].curve
    return tuple(accumulate((epoch.validation_accuracy for epoch in curve), max))


def bars(spec: Hopeless, population: Population, epochs: int) -> tuple[float, ...]:
    """What a child's training has to reach by the end of each epoch but the last, or be stopped.

    ``margin`` times what the particle at ``quantile`` had reached, among those that have a fitness.
    The best accuracy of a training that ended early counts on. Within the grace the bars are 0.
    Empty where no particle has a curve.
    """
    curves = [each.curve for each in population.particles if each.fitness is not None]
    whole = [curve + curve[-1:] * (epochs - len(curve)) for curve in curves if curve]
    if not whole:
        return ()
    place = int(spec.quantile * (len(whole) - 1))
    demanded = [spec.margin * sorted(at_epoch)[place] for at_epoch in zip(*whole, strict=True)]
    return tuple(
        0.0 if epoch < spec.grace * epochs else bar
        for epoch, bar in enumerate(demanded[: epochs - 1], start=1)
    )
