"""Every figure of the gallery."""

from __future__ import annotations

from collections.abc import Iterator

from evoptim import zoo
from gallery.facts import has_curves
from gallery.path_figures import paths_figure, thumbnail
from gallery.places import IMAGES
from gallery.rates_figure import rates_figure
from gallery.schedule_figures import base_figure, schedule_figure, schedules_figure


def figures() -> Iterator[tuple[str, str]]:
    """Every figure by its name below docs/zoo, as SVG."""
    yield f"{IMAGES}/base.svg", base_figure()
    yield f"{IMAGES}/schedules.svg", schedules_figure()
    for name in zoo.names():
        yield f"{IMAGES}/{name}-rates.svg", rates_figure(name)
        if has_curves(name):
            yield f"{IMAGES}/{name}-schedule.svg", schedule_figure(name)
        yield f"{IMAGES}/{name}-paths.svg", paths_figure(name)
        yield f"{IMAGES}/{name}-thumb.svg", thumbnail(name)
