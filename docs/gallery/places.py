"""Where the gallery is, and how wide."""

from __future__ import annotations

from pathlib import Path

ZOO = Path(__file__).resolve().parents[1] / "zoo"
IMAGES = "images"

WIDE = 820
"""Width of a figure of two panels: that of a text column on GitHub."""


def image(name: str, words: str) -> str:
    """A figure in a page."""
    return f"![{words}]({IMAGES}/{name}.svg)"
