"""Fitness by generation: best so far, best, median and the middle half of the candidates."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from evoptim.analysis import GenerationPoint
from evoptim.report.palette import light
from evoptim.report.svg import canvas, inline


def fitness_figure(points: Sequence[GenerationPoint]) -> Markup:
    """Draw the generations that have a scored candidate; hollow under the initial protocol."""
    comparable = [p for p in points if p.comparable and p.median is not None]
    initial = [p for p in points if not p.comparable and p.median is not None]
    with canvas(300) as (figure, axes):
        _spread(axes, comparable, hollow=False)
        _spread(axes, initial, hollow=True)
        so_far = [(p.generation, p.best_so_far) for p in points if p.best_so_far is not None]
        axes.plot(
            [generation for generation, _ in so_far],
            [100 * best for _, best in so_far],
            color=light("blue"),
            linewidth=2.4,
            drawstyle="steps-post",
        )
        axes.set_xlabel("generation")
        axes.set_ylabel("validation accuracy, %")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="x", visible=False)
        axes.margins(x=0.06)
        return inline(figure, "fitness", _description(points))


def _spread(axes: Axes, points: Sequence[GenerationPoint], *, hollow: bool) -> None:
    """The middle half as a bar, the median as a tick across it, the best as a dot."""
    for point in points:
        assert point.lower_quartile is not None
        assert point.upper_quartile is not None
        assert point.median is not None
        assert point.best is not None
        x = point.generation
        colour = light("muted") if hollow else light("blue")
        axes.bar(
            x,
            100 * (point.upper_quartile - point.lower_quartile),
            bottom=100 * point.lower_quartile,
            width=0.5,
            color="none" if hollow else light("band"),
            edgecolor=colour if hollow else "none",
            linewidth=1.0,
        ).patches[0].sticky_edges.y.clear()
        axes.hlines(100 * point.median, x - 0.25, x + 0.25, color=colour, linewidth=1.6)
        axes.plot(
            x,
            100 * point.best,
            "o",
            markersize=5.5,
            color=light("paper") if hollow else colour,
            markeredgecolor=colour,
        )


def _description(points: Sequence[GenerationPoint]) -> str:
    scored = [p for p in points if p.best is not None and p.median is not None]
    if not scored:
        return "No generation has a scored candidate."
    first, last = scored[0], scored[-1]
    return (
        f"Validation accuracy by generation: median {100 * (first.median or 0):.1f}% and best "
        f"{100 * (first.best or 0):.1f}% in generation {first.generation}; median "
        f"{100 * (last.median or 0):.1f}% and best {100 * (last.best or 0):.1f}% in generation "
        f"{last.generation}."
    )
