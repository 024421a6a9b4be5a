"""The optimizers that the report draws, each with its line and its mean learning curve."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

from evoptim.analysis import Result
from evoptim.records import Epoch
from evoptim.report.inputs import ReportInputs
from evoptim.report.palette import BASELINE_LINES, EVOLVED_LINES, Line


@dataclass(frozen=True)
class Series:
    """One optimizer in a drawing."""

    result: Result
    line: Line
    steps: tuple[int, ...]
    validation_accuracy: tuple[float, ...]
    """Mean over the seeds that got to that step, as fractions."""
    train_loss: tuple[float, ...]
    """Likewise, in nats."""


def build_series(inputs: ReportInputs) -> tuple[Series, ...]:
    """The best evolved optimizers, best first, then the baselines, best first."""
    evolved = zip(inputs.best, EVOLVED_LINES, strict=False)
    baselines = ((r, BASELINE_LINES.get(r.id, BASELINE_LINES["sgd"])) for r in inputs.baselines)
    return tuple(_series(inputs, result, line) for result, line in (*evolved, *baselines))


def _series(inputs: ReportInputs, result: Result, line: Line) -> Series:
    evaluation = inputs.drawn.get((result.id, result.protocol))
    by_step: dict[int, list[Epoch]] = {}
    for training in evaluation.trainings if evaluation else ():
        for epoch in training.curve:
            by_step.setdefault(epoch.step, []).append(epoch)
    steps = tuple(sorted(by_step))
    return Series(
        result=result,
        line=line,
        steps=steps,
        validation_accuracy=tuple(
            fmean(epoch.validation_accuracy for epoch in by_step[step]) for step in steps
        ),
        train_loss=tuple(fmean(epoch.train_loss for epoch in by_step[step]) for step in steps),
    )
