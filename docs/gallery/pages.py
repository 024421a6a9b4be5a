"""Every page of the gallery."""

from __future__ import annotations

from evoptim import zoo
from gallery.index_page import index_page
from gallery.optimizer_page import optimizer_page
from gallery.schedules_page import schedules_page


def pages() -> dict[str, str]:
    """The text of every page by its name below docs/zoo."""
    return {
        "README.md": index_page(),
        "schedules.md": schedules_page(),
        **{f"{name}.md": optimizer_page(name) for name in zoo.names()},
    }
