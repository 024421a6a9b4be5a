"""Rank correlations as a figure: a point and an interval for every way to rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rank_correlation import Estimate

from evoptim.report.palette import light
from evoptim.report.standalone import standalone
from evoptim.report.svg import canvas

WIDTH = 820
ROW = 24
MARGIN = 90


@dataclass(frozen=True)
class Mark:
    protocol: str
    feature: str
    estimate: Estimate
    chosen: bool
    """Whether it is what one half of the sample chose."""


def validity_figure(marks: Sequence[Mark], initial: Estimate, most: float) -> str:
    """The text of an SVG file.

    Args:
        marks: from top to bottom.
        initial: of the authors' own initial fitness.
        most: what another evaluation under the paper's fitness would have.
    """
    height = ROW * (len(marks) + 1) + MARGIN
    with canvas(height) as (figure, axes):
        figure.set_size_inches(WIDTH / 72, height / 72)
        rows = [("the authors' initial fitness", initial, "ochre", False)]
        rows += [
            (f"{each.protocol}: {each.feature}", each.estimate, _colour(each), each.chosen)
            for each in marks
        ]
        for place, (_, estimate, colour, strong) in enumerate(rows):
            axes.plot(
                [estimate.low, estimate.high],
                [place, place],
                color=light(colour),
                linewidth=3.2 if strong else 1.8,
            )
            axes.plot(
                [estimate.value], [place], "o", color=light(colour), markersize=8 if strong else 6
            )
        axes.axvline(0.0, color=light("muted"), linewidth=0.8)
        axes.axvline(most, color=light("green"), linewidth=1.6, dashes=(5, 2))
        axes.text(most - 0.01, -0.75, "the log's own noise", ha="right", color=light("green"))
        axes.set_yticks(range(len(rows)), [title for title, *_ in rows])
        axes.set_ylim(len(rows) - 0.4, -1.2)
        axes.set_xlim(min(-0.2, min(e.low for _, e, *_ in rows) - 0.03), 1.0)
        axes.set_xlabel("Spearman's rank correlation with the logged accuracy, 95 % interval")
        axes.grid(axis="y", visible=False)
        told = "; ".join(f"{title} {estimate.value:.2f}" for title, estimate, *_ in rows)
        return standalone(figure, f"Rank correlations: {told}.")


def _colour(mark: Mark) -> str:
    if mark.chosen:
        return "vermillion"
    return "grey" if mark.protocol == "no training" else "blue"
