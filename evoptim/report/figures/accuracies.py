"""Validation and test accuracy of evolved optimizers and baselines, with their intervals."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from evoptim.report.palette import light
from evoptim.report.series import Series
from evoptim.report.svg import canvas, inline

_ROW = 27
_AXIS = 46


def accuracies_figure(series: Sequence[Series]) -> Markup:
    """Draw one row for each optimizer that has an accuracy, in the given order."""
    rows = [one for one in series if one.result.validation_accuracy is not None]
    with canvas(_AXIS + _ROW * max(1, len(rows))) as (figure, axes):
        for row, one in enumerate(rows):
            result, colour = one.result, light(one.line.colour)
            if result.test_interval is not None:
                axes.hlines(
                    row,
                    100 * result.test_interval.low,
                    100 * result.test_interval.high,
                    color=colour,
                    linewidth=2.2 if result.evolved else 1.4,
                    linestyles="-" if result.evolved else (0, (3, 1.5)),
                )
            if result.test_accuracy is not None:
                axes.plot(100 * result.test_accuracy, row, "o", markersize=7, color=colour)
            axes.plot(
                100 * (result.validation_accuracy or 0.0),
                row,
                "D",
                markersize=6,
                markerfacecolor=light("paper"),
                markeredgecolor=colour,
                markeredgewidth=1.4,
            )
        axes.set_yticks(range(len(rows)), [one.result.name for one in rows], color=light("ink"))
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlabel("accuracy, %")
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
        return inline(figure, "accuracies", _description(rows))


def _description(rows: Sequence[Series]) -> str:
    return "Accuracy in percent, validation and test. " + "; ".join(
        f"{one.result.name}: {100 * (one.result.validation_accuracy or 0.0):.1f} and "
        + ("none" if one.result.test_accuracy is None else f"{100 * one.result.test_accuracy:.1f}")
        for one in rows
    )
