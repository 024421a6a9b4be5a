"""The figures of schedules, momentum and decays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter
from torch import Tensor

from evoptim import zoo
from evoptim.decay import Decay
from evoptim.optim.progress import Horizon, factor_table
from evoptim.report.palette import light
from evoptim.report.standalone import standalone
from evoptim.report.svg import canvas
from evoptim.schedule import learning_rate_factors
from gallery.drawing import legend
from gallery.entries import ENTRIES
from gallery.facts import formula_of, title
from gallery.places import WIDE

SAMPLES = 201
HORIZON = Horizon(1000, 50, 0, base_schedule=True)
"""What schedule figures show: a warm-up of a twentieth."""


def base_figure() -> str:
    """The base schedule alone."""
    with canvas(200) as (figure, axes):
        _base_line(axes)
        _progress(axes)
        axes.set_ylim(0, 1.05)
        axes.set_ylabel("rate / lr")
        legend(axes)
        return standalone(figure, "The base schedule: linear warm-up, then half a cosine to 0.")


_DECAYS = (("A", "blue"), ("B", "green"))


def schedule_figure(name: str) -> str:
    """Rate, momentum coefficient and decays over progress."""
    plain, decayed = (factor_table(formula_of(name, decay), HORIZON).T for decay in (False, True))
    curves = formula_of(name, True).curves
    second = bool(curves) or ENTRIES[name].momentum is not None
    with canvas(250) as (figure, _):
        figure.clear()
        figure.set_size_inches((WIDE if second else 400) / 72, 250 / 72)
        left, *right = figure.subplots(1, 2 if second else 1, squeeze=False)[0]
        _base_line(left)
        if formula_of(name, True).rate_curve is not None:
            _curve(left, decayed[0], "with decay", "blue", 2.2)
        left.set_ylabel("rate / lr")
        left.set_ylim(0, 1.05)
        for axes in right:
            marks = zip(curves, decayed[2:], _DECAYS[: len(curves)], strict=True)
            for curve, values, (letter, colour) in marks:
                _curve(axes, values, _curve_label(curve, letter), colour, 2.2)
            if ENTRIES[name].momentum:
                _curve(axes, plain[1], "momentum μ", "ochre", 1.6, (6, 2, 1.2, 2))
            axes.set_ylim(0, 1.05)
            axes.set_ylabel("factor")
        for axes in (left, *right):
            _progress(axes)
            legend(axes, 2)
        return standalone(figure, f"Rate and functions of training progress of {title(name)}.")


def _curve_label(curve: Any, letter: str) -> str:
    text = str(curve) if isinstance(curve, Decay) else "arctan(a13)"
    if text == "id(a1)":
        return "f = 1 - t/T"
    text = {"1/(1+exp(-a8)": "σ(a8)", "id(a14)": "a14"}.get(text, text)
    return f"{letter} = {text.replace(')*(', '·').replace('(a13·a2)', 'a13·a2')}"


def _base_line(axes: Axes) -> None:
    shape = (HORIZON.total_steps or 1, HORIZON.warmup_steps, HORIZON.hold_steps)
    values = torch.tensor(learning_rate_factors(*shape))
    _curve(axes, values, "base schedule", "grey", 1.6, (5, 2))


def _curve(
    axes: Axes,
    values: Tensor,
    label: str,
    colour: str,
    width: float,
    dash: Sequence[float] = (),
) -> None:
    steps = torch.linspace(0, len(values) - 1, SAMPLES).round().long()
    axes.plot(
        (steps / len(values)).tolist(),
        values[steps].tolist(),
        color=light(colour),
        linewidth=width,
        linestyle=(0, tuple(dash)) if dash else "-",
        label=label,
    )


def _progress(axes: Axes) -> None:
    axes.set_xlim(0, 1)
    axes.set_xlabel("training progress t/T")
    axes.xaxis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 1]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(axis="x", visible=False)


def schedules_figure() -> str:
    """Small multiples of the nine schedules."""
    with canvas(560) as (figure, _):
        figure.clear()
        figure.set_size_inches(WIDE / 72, 560 / 72)
        panels = figure.subplots(3, 3, sharex=True, squeeze=False).flatten()
        base = torch.tensor(learning_rate_factors(1000, 10, 0), dtype=torch.float64)
        for (kind, curve), axes in zip(zoo.CURVES.items(), panels, strict=True):
            factor = torch.tensor(curve.values(1000), dtype=torch.float64)
            rates = base * factor
            rates[0] = 0.0
            _curve(axes, base, "base schedule", "grey", 1.4, (5, 2))
            # A spike of a few steps would fall between the samples.
            axes.plot(
                [step / 1000 for step in range(1000)],
                rates.tolist(),
                color=light("blue"),
                linewidth=2.0,
            )
            axes.set_title(f"kind {kind}, peak {rates.max():.2f}", fontsize=13, loc="left")
            axes.set_ylim(0, max(1.05, 1.05 * rates.max().item()))
            _progress(axes)
            axes.set_xlabel("")
        for axes in panels[6:]:
            axes.set_xlabel("training progress t/T")
        for axes in panels[::3]:
            axes.set_ylabel("rate / lr")
        return standalone(
            figure, "Nine evolved learning-rate schedules, each beside the base schedule."
        )
