"""Matplotlib figures as inline SVG that belongs to the page: its fonts, its colours, no ids lost.

The same figure gives the same bytes: ids come from a fixed salt and no date is written.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree as ET

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evoptim.report.palette import PALETTE, light

WIDTH = 400
"""Width of a figure in its own units. A page column is about as wide, on a desktop (two columns)
and on a phone (one), so that text keeps its size on both."""

FONT_SIZE = 13.0

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "evoptim",
    "text.parse_math": False,
    "font.size": FONT_SIZE,
    "axes.edgecolor": light("muted"),
    "axes.labelcolor": light("muted"),
    "axes.labelsize": FONT_SIZE,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.unicode_minus": True,
    "grid.color": light("grid"),
    "grid.linewidth": 0.8,
    "text.color": light("ink"),
    "xtick.color": light("muted"),
    "ytick.color": light("muted"),
    "xtick.labelsize": FONT_SIZE,
    "ytick.labelsize": FONT_SIZE,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
    "xtick.minor.size": 0,
    "lines.solid_capstyle": "round",
    "lines.dash_capstyle": "butt",
    "figure.constrained_layout.use": True,
}

_REFERENCE = re.compile(r"#([A-Za-z_][-\w]*)")
_FONT_FAMILY = re.compile(r"font-family:[^;]*;?|font:[^;]*?(?P<size>[\d.]+px)[^;]*;?")
_COLOURS = {colour.light: f"var(--{name})" for name, colour in PALETTE.items()}


@contextmanager
def canvas(height: float) -> Iterator[tuple[Figure, Axes]]:
    """An empty figure of the report's style, ``height`` units high, with one pair of axes."""
    # From the defaults, so that a reader's own matplotlibrc changes nothing.
    style: dict[Any, Any] = {
        key: value for key, value in mpl.rcParamsDefault.items() if not key.startswith("backend")
    }
    with mpl.rc_context(style | _STYLE):
        figure = Figure(figsize=(WIDTH / 72, height / 72))
        yield figure, figure.add_subplot()


def inline(figure: Figure, name: str, description: str) -> Markup:
    """The figure as an ``<svg>`` element. Call it inside :func:`canvas`.

    Args:
        figure: what to draw.
        name: unique within the page; prefixes the ids that the drawing needs.
        description: what the figure shows, for readers who cannot see it.
    """
    buffer = io.BytesIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    root = ET.fromstring(buffer.getvalue())
    _plain_names(root)
    _drop(root, "metadata", "style")
    _own_ids(root, name)
    for element in root.iter():
        if "style" in element.attrib:
            element.set("style", _page_style(element.attrib["style"]))
        if "d" in element.attrib:
            element.set("d", " ".join(element.attrib["d"].split()))
        element.tail = None
        if element.tag != "text":
            element.text = None
    del root.attrib["width"], root.attrib["height"]
    root.attrib.pop("version", None)
    root.set("class", "chart")
    root.set("role", "img")
    root.set("aria-label", description)
    return Markup(ET.tostring(root, encoding="unicode"))


def _plain_names(root: ET.Element) -> None:
    for element in root.iter():
        element.tag = _local(element.tag)
        for key in [key for key in element.attrib if key.startswith("{")]:
            element.set(_local(key), element.attrib.pop(key))


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _drop(root: ET.Element, *tags: str) -> None:
    for parent in list(root.iter()):
        for child in [child for child in parent if child.tag in tags]:
            parent.remove(child)


def _own_ids(root: ET.Element, name: str) -> None:
    """Keep the ids that the drawing refers to, unique within the page; drop the others."""
    used = {
        reference
        for element in root.iter()
        for key, value in element.attrib.items()
        if key != "id"
        for reference in _REFERENCE.findall(value if "#" in value else "")
    }
    for element in root.iter():
        identifier = element.attrib.pop("id", None)
        for key, value in element.attrib.items():
            if key == "href" or "url(#" in value:
                element.set(key, value.replace("#", f"#{name}-"))
        if identifier in used:
            element.set("id", f"{name}-{identifier}")


def _page_style(style: str) -> str:
    style = _FONT_FAMILY.sub(
        lambda match: f"font-size:{match['size']};" if match["size"] else "", style
    )
    for colour, variable in _COLOURS.items():
        style = style.replace(colour, variable)
    return style.replace(": ", ":").replace("; ", ";")
