"""The figures of paths."""

from __future__ import annotations

import math

import torch
from matplotlib.axes import Axes

from evoptim.report.palette import light
from evoptim.report.standalone import standalone
from evoptim.report.svg import canvas
from gallery.descent import BEALE, ROSENBROCK, Path2, Surface, best_path
from gallery.drawing import legend
from gallery.facts import title
from gallery.places import WIDE


def paths_figure(name: str) -> str:
    """Both surfaces, the optimizer and Adam."""
    with canvas(360) as (figure, _):
        figure.clear()
        figure.set_size_inches(WIDE / 72, 360 / 72)
        told = []
        for axes, surface in zip(figure.subplots(1, 2), (ROSENBROCK, BEALE), strict=True):
            _landscape(axes, surface, levels=9)
            for each, label, colour, width in (
                ("adam", "Adam", "rose", 1.4),
                (name, title(name), "blue", 1.8),
            ):
                rate, points = best_path(each, surface)
                _path(axes, points, colour, width, f"{label}, rate {rate:g}")
                told.append(
                    f"{label} at rate {rate:g} on {surface.name}: ends "
                    f"{math.dist(points[-1], surface.minimum):.2g} from the minimum"
                )
            _ends(axes, surface, size=9)
            axes.set_xlabel(surface.name, color=light("ink"))
            legend(axes, 2)
        return standalone(figure, "; ".join(told) + ".")


def thumbnail(name: str) -> str:
    """Rosenbrock's function alone, without words."""
    with canvas(130) as (figure, axes):
        figure.set_size_inches(180 / 72, 130 / 72)
        _landscape(axes, ROSENBROCK, levels=6)
        _path(axes, best_path("adam", ROSENBROCK)[1], "rose", 1.2, "")
        _path(axes, best_path(name, ROSENBROCK)[1], "blue", 1.8, "")
        _ends(axes, ROSENBROCK, size=8)
        axes.set_axis_off()
        return standalone(figure, f"Path of {title(name)} beside Adam's.")


def _landscape(axes: Axes, surface: Surface, levels: int) -> None:
    left, right, bottom, top = surface.window
    xs = torch.linspace(left, right, 81, dtype=torch.float64)
    ys = torch.linspace(bottom, top, 81, dtype=torch.float64)
    heights = surface.value(xs[None, :], ys[:, None]).add(1e-3).log10()
    axes.contour(
        xs.tolist(),
        ys.tolist(),
        heights.tolist(),
        levels=torch.linspace(-0.4, heights.max().item(), levels + 1)[:-1].tolist(),
        colors=[light("grey")],
        linewidths=0.5,
        linestyles="solid",
    )
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.grid(visible=False)


def _path(axes: Axes, points: Path2, colour: str, width: float, label: str) -> None:
    axes.plot(*zip(*points, strict=True), color=light(colour), linewidth=width, label=label)


def _ends(axes: Axes, surface: Surface, size: float) -> None:
    ink, paper = light("ink"), light("paper")
    axes.plot(*surface.start, "o", markersize=0.7 * size, mec=ink, mfc=paper, mew=1.3, zorder=5)
    axes.plot(*surface.minimum, "*", markersize=1.2 * size, mec=paper, mfc=ink, mew=0.6, zorder=5)
