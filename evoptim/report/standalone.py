"""A figure as a file of its own, in the reader's colour scheme."""

from __future__ import annotations

import re

from matplotlib.figure import Figure

from evoptim.report.palette import css_variables
from evoptim.report.svg import inline

_NUMBER = re.compile(r"-?\d+\.\d+")
_STYLE = (
    "svg{background:var(--paper);"
    "font-family:system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif}"
)


def standalone(figure: Figure, description: str) -> str:
    """The text of an SVG file. Call it inside :func:`evoptim.report.svg.canvas`.

    Args:
        figure: what to draw.
        description: what it shows, for readers who cannot see it.
    """
    width, height = (round(72 * inches) for inches in figure.get_size_inches())
    drawn = str(inline(figure, "f", description))
    # A tenth of a unit is finer than a screen shows.
    drawn = re.sub(r' d="[^"]*"', lambda d: _NUMBER.sub(_tenth, d[0]), drawn)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
    styled = drawn.replace("<svg", head, 1)
    opened = styled.index(">") + 1
    style = f"<style>{css_variables()}{_STYLE}</style>"
    return f"{styled[:opened]}{style}{styled[opened:]}\n"


def _tenth(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}".removesuffix(".0")
