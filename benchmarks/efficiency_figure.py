"""Best-so-far curves as a figure: the median over seeds, and the middle half as a band."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from best_so_far import Curves

from evoptim.report.palette import light
from evoptim.report.standalone import standalone
from evoptim.report.svg import canvas

WIDTH, HEIGHT = 820, 380
SHOWN = 5.0
"""Points of accuracy below the best that the figure shows."""
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
        told, top = [], 0.0
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
            top = max(top, float(high.max()))
        # What is held before anything good is found would flatten the rest.
        axes.set_ylim(top - SHOWN, top + 0.3)
        axes.set_xlim(0.0, thousands[-1])
        axes.set_xlabel("optimizer steps, thousands")
        axes.set_ylabel("validation accuracy, fresh seeds, %")
        axes.legend(frameon=False, loc="lower right")
        return standalone(figure, f"Median quality at the end: {'; '.join(told)}.")
