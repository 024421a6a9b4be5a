"""The decay functions of one optimizer, and the learning rate that it really runs under."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from evoptim.report.palette import Line, light
from evoptim.report.svg import canvas, inline

SAMPLES = 201
"""Points of a drawn function: more than there are pixels that matter, few enough to stay small."""

DECAY_LINES = (
    Line("vermillion", width=2.0),
    Line("green", (5, 2), width=2.0),
    Line("rose", (1.2, 1.8), width=2.0),
    Line("ochre", (6, 2, 1.2, 2), width=2.0),
)
"""How d_1, d_2, … are drawn; more than four begin again."""

_BASE = Line("grey", (5, 2))
_EFFECTIVE = Line("blue", width=2.0)


def decays_figure(name: str, decays: Sequence[Sequence[float]], total_steps: int) -> Markup:
    """Draw d_1, d_2, … over the steps of a training.

    Args:
        name: unique within the page.
        decays: the value of each at every step; values that are not finite leave a gap.
        total_steps: the length of the base schedule.
    """
    with canvas(230) as (figure, axes):
        for number, values in enumerate(decays):
            _line(axes, values, DECAY_LINES[number % len(DECAY_LINES)])
        axes.set_ylim(*_range(decays))
        axes.set_ylabel("decay factor")
        _steps(axes, total_steps)
        ends = "; ".join(
            f"d{number}: from {values[0]:.2f} to {values[-1]:.2f}"
            for number, values in enumerate(decays, start=1)
        )
        return inline(figure, name, f"Decay functions over {total_steps} steps. {ends}.")


def rates_figure(
    name: str, base: Sequence[float], effective: Sequence[float] | None, peak: float
) -> Markup:
    """Draw the base schedule and, if a decay scales the whole update, what is left of it.

    Args:
        name: unique within the page.
        base: base schedule at every step, relative to the peak rate.
        effective: base schedule times that decay; None if there is none.
        peak: the peak learning rate.
    """
    with canvas(230) as (figure, axes):
        drawn = [peak * factor for factor in base]
        if effective is None:
            _line(axes, drawn, _EFFECTIVE)
        else:
            _line(axes, drawn, _BASE)
            _line(axes, [peak * factor for factor in effective], _EFFECTIVE)
        axes.set_ylim(bottom=0.0)
        axes.set_ylabel("learning rate")
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        _steps(axes, len(base))
        what = "Base schedule" if effective is None else "Base and effective schedule"
        return inline(figure, name, f"{what} over {len(base)} steps, peak rate {peak:g}.")


def _line(axes: Axes, values: Sequence[float], line: Line) -> None:
    count = len(values)
    steps = sorted({round(i * (count - 1) / (SAMPLES - 1)) for i in range(SAMPLES)})
    axes.plot(
        steps,
        [values[step] if math.isfinite(values[step]) else math.nan for step in steps],
        color=light(line.colour),
        linewidth=line.width,
        linestyle=(0, line.dash) if line.dash else "-",
    )


def _range(curves: Sequence[Sequence[float]]) -> tuple[float, float]:
    # A genome from elsewhere may leave [0, 1]; a pole must not flatten everything else.
    finite = [value for values in curves for value in values if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    return max(-10.0, min(0.0, low)) - 0.03, min(20.0, max(1.0, high)) + 0.03


def _steps(axes: Axes, total: int) -> None:
    axes.set_xlabel("optimizer steps")
    axes.set_xlim(0, max(1, total - 1))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.grid(axis="x", visible=False)
