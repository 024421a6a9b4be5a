"""Learning curves of the best evolved optimizers over those of the baselines."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from evoptim.report.palette import light
from evoptim.report.series import Series
from evoptim.report.svg import canvas, inline

LOSS_BAR = 20.0
"""Nats: far above chance (2.3 for ten classes). A single leap must not flatten every curve."""


def accuracy_figure(series: Sequence[Series]) -> Markup:
    """Draw validation accuracy over steps."""
    with canvas(310) as (figure, axes):
        lowest = []
        for one in series:
            values = [100 * value for value in one.validation_accuracy]
            _line(axes, one, values)
            lowest += values[len(values) // 4 :]
        if lowest:
            # The first quarter starts at chance and would leave no room for the differences.
            axes.set_ylim(bottom=max(0.0, math.floor(min(lowest) / 5) * 5 - 5))
        axes.set_ylabel("validation accuracy, %")
        _steps(axes)
        return inline(figure, "learning-accuracy", _description(series))


def loss_figure(series: Sequence[Series]) -> Markup:
    """Draw training loss over steps, on a logarithmic axis."""
    with canvas(310) as (figure, axes):
        for one in series:
            _line(axes, one, [loss if loss > 0.0 else math.nan for loss in one.train_loss])
        axes.set_yscale("log")
        if min((loss for one in series for loss in one.train_loss), default=LOSS_BAR) < LOSS_BAR:
            axes.set_ylim(top=min(axes.get_ylim()[1], LOSS_BAR))
        low, high = axes.get_ylim()
        subs = (1.0, 2.0, 5.0) if high < 100 * low else (1.0,)
        axes.yaxis.set_major_locator(LogLocator(subs=subs))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_ylabel("training loss, nats")
        _steps(axes)
        return inline(
            figure, "learning-loss", "Training loss over steps of the same optimizers, log scale."
        )


def _line(axes: Axes, series: Series, values: Sequence[float]) -> None:
    line = series.line
    axes.plot(
        series.steps,
        values,
        color=light(line.colour),
        linewidth=line.width,
        linestyle=(0, line.dash) if line.dash else "-",
        marker="o" if len(values) == 1 else "",
        zorder=3 if series.result.evolved else 2,
    )


def _steps(axes: Axes) -> None:
    axes.set_xlabel("optimizer steps")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.grid(axis="x", visible=False)


def _description(series: Sequence[Series]) -> str:
    return "Validation accuracy over steps, at the last epoch: " + "; ".join(
        f"{one.result.name} {100 * one.validation_accuracy[-1]:.1f}%"
        for one in series
        if one.validation_accuracy
    )
