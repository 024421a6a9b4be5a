"""How the evaluations of each generation ended, as stacked bars."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from evoptim.analysis import GenerationOutcomes
from evoptim.records import Outcome
from evoptim.report.palette import OUTCOME_COLOURS, light
from evoptim.report.svg import canvas, inline


def outcomes_figure(generations: Sequence[GenerationOutcomes]) -> Markup:
    """Draw one bar for each generation."""
    with canvas(300) as (figure, axes):
        numbers = [one.generation for one in generations]
        base = [0] * len(numbers)
        for outcome in Outcome:
            counts = [one.counts.get(outcome, 0) for one in generations]
            if any(counts):
                axes.bar(
                    numbers,
                    counts,
                    bottom=base,
                    width=0.62,
                    color=light(OUTCOME_COLOURS[outcome]),
                    edgecolor=light("paper"),
                    linewidth=1.0,
                )
                base = [low + count for low, count in zip(base, counts, strict=True)]
        axes.set_xlabel("generation")
        axes.set_ylabel("evaluations")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="x", visible=False)
        return inline(figure, "outcomes", _description(generations))


def _description(generations: Sequence[GenerationOutcomes]) -> str:
    trained = sum(one.counts.get(Outcome.TRAINED, 0) for one in generations)
    total = sum(sum(one.counts.values()) for one in generations)
    return f"Evaluations by generation and outcome: {trained} of {total} trained to the end."
