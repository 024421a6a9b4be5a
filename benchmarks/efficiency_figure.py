"""Best-so-far curves as a figure: the median over seeds, and the middle half as a band."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from best_so_far import Curves

from evoptim.report.palette import light
from evoptim.report.standalone import standalone
from evoptim.report.svg import canvas

WIDTH, HEIGHT = 820, 380
STYLES: Sequence[tuple[str, tuple[float, ...]]] = (
    ("grey", (5, 2)),
    ("ochre", (1.2, 1.8)),
    ("blue", ()),
    ("green", ()),
    ("vermillion", ()),
)
"""Colour and dashes, in the order of the arms."""


def efficiency_figure(arms: Mapping[str, Curves], checkpoints: Sequence[float]) -> str:
    """The text of an SVG file.

    Args:
        arms: by name, quality as a fraction, a row for each seed and a column for each checkpoint.
        checkpoints: in optimizer steps.
    """
    thousands = np.array(checkpoints) / 1e3
    with canvas(HEIGHT) as (figure, axes):
        figure.set_size_inches(WIDTH / 72, HEIGHT / 72)
        told, lowest = [], 100.0
        for (name, curves), (colour, dashes) in zip(arms.items(), STYLES, strict=False):
            low, median, high = np.quantile(100 * curves, [0.25, 0.5, 0.75], axis=0)
            axes.fill_between(thousands, low, high, color=light(colour), alpha=0.13, linewidth=0)
            axes.plot(
                thousands,
                median,
                color=light(colour),
                linewidth=2.2,
                label=name,
                dashes=dashes or (None, None),
            )
            told.append(f"{name} {median[-1]:.1f} %")
            # The first checkpoints, where nothing is found yet, would flatten the rest.
            lowest = min(lowest, low[len(low) // 4])
        axes.set_ylim(lowest - 0.5, None)
        axes.set_xlim(0.0, thousands[-1])
        axes.set_xlabel("optimizer steps, thousands")
        axes.set_ylabel("validation accuracy, fresh seeds, %")
        axes.legend(frameon=False, loc="lower right")
        return standalone(figure, f"Median quality at the end: {'; '.join(told)}.")
