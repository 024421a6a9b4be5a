"""What all figures share."""

from __future__ import annotations

from matplotlib.axes import Axes


def legend(axes: Axes, columns: int = 3) -> None:
    """Above the axes."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=columns,
        frameon=False,
        borderaxespad=0.2,
        handlelength=1.8,
        columnspacing=1.4,
    )
