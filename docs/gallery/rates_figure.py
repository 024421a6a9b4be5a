"""The figure of measured rates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from evoptim.report.palette import light
from evoptim.report.standalone import standalone
from evoptim.report.svg import canvas
from gallery.drawing import legend
from gallery.facts import range_words, rows, title
from gallery.places import WIDE


def rates_figure(name: str) -> str:
    """Accuracy by rate, beside Adam's."""
    with canvas(250) as (figure, axes):
        figure.set_size_inches(WIDE / 72, 250 / 72)
        own = rows(name)
        axes.axvspan(
            own[0]["low"] / 1.25, own[0]["high"] * 1.25, color=light("band"), linewidth=0, zorder=0
        )
        _accuracy_line(axes, rows("adam")[0], "Adam", light("rose"), 1.6, "-")
        for row in own:
            label = f"{title(name)} with decay" if row["decay"] else title(name)
            _accuracy_line(
                axes, row, label, light("blue"), 2.2, (0, (4, 1.6)) if row["decay"] else "-"
            )
        axes.set_xscale("log")
        axes.set_xlabel("learning rate")
        axes.set_ylabel("accuracy, %")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlim(8e-5, 1.25e2)
        axes.set_ylim(70, 98)
        axes.grid(axis="x", visible=False)
        legend(axes)
        return standalone(
            figure,
            f"Validation accuracy over learning rates. {title(name)}: best at {own[0]['best']:g}, "
            f"as good at {range_words(own[0])}. Adam: best at {rows('adam')[0]['best']:g}.",
        )


def _accuracy_line(
    axes: Axes, row: Mapping[str, Any], label: str, colour: str, width: float, style: Any
) -> None:
    rates = [float(rate) for rate in row["accuracies"]]
    samples = [torch.tensor(each, dtype=torch.float64) for each in row["accuracies"].values()]
    means = [each.mean().item() for each in samples]
    spread = [each.std().item() for each in samples]
    axes.errorbar(
        rates,
        means,
        yerr=spread,
        color=colour,
        linewidth=width,
        linestyle=style,
        elinewidth=1.0,
        marker="o",
        markersize=3.5,
        label=label,
    )
