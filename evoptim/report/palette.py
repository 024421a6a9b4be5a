"""The colours of the report, in light and in dark.

Hues are those of Okabe & Ito (2008), which readers with the common colour-vision deficiencies
tell apart; evolved optimizers and baselines also differ by their line style. Figures are drawn
in the light colours, and :mod:`evoptim.report.svg` replaces each by its CSS variable.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from evoptim.records import Outcome


@dataclass(frozen=True)
class Colour:
    """One colour of the page."""

    variable: str
    light: str
    dark: str


# No two rows may share a light colour: it identifies the row in a drawn figure.
_ROWS = (
    Colour("ink", "#1d1d22", "#ececf1"),
    Colour("muted", "#63636e", "#a2a2ae"),
    Colour("grid", "#e3e3e9", "#33333c"),
    Colour("paper", "#ffffff", "#17171b"),
    Colour("panel", "#f6f6f9", "#202026"),
    Colour("blue", "#0072b2", "#58b4ee"),
    Colour("vermillion", "#d55e00", "#ff8a3d"),
    Colour("green", "#009e73", "#2fcb9e"),
    Colour("grey", "#87878f", "#94949e"),
    Colour("rose", "#c25b95", "#e39ac4"),
    Colour("ochre", "#a67c00", "#d9b13b"),
    Colour("sky", "#56b4e9", "#3a86b8"),
    Colour("orange", "#e69f00", "#d39b26"),
    Colour("band", "#cfe3f0", "#1f3d52"),
)

PALETTE: MappingProxyType[str, Colour] = MappingProxyType({row.variable: row for row in _ROWS})
"""The colours by name."""


def light(name: str) -> str:
    """The colour in which figures are drawn."""
    return PALETTE[name].light


@dataclass(frozen=True)
class Line:
    """How one optimizer is drawn, wherever it is drawn."""

    colour: str
    """Name in :data:`PALETTE`."""
    dash: tuple[float, ...] = ()
    """Lengths of strokes and gaps in units of the width; none for a solid line."""
    width: float = 1.4


EVOLVED_LINES = (
    Line("blue", width=2.4),
    Line("vermillion", width=2.0),
    Line("green", width=2.0),
)
"""The best evolved optimizers, best first: solid, strong colours."""

BASELINE_LINES: MappingProxyType[str, Line] = MappingProxyType(
    {
        "sgd": Line("grey", (1.2, 1.8)),
        "momentum": Line("grey", (5, 2)),
        "nesterov": Line("grey", (6, 2, 1.2, 2)),
        "rmsprop": Line("ochre", (4, 2)),
        "adam": Line("rose", (5, 2)),
        "adamw": Line("rose", (1.2, 1.8)),
    }
)
"""Baselines: broken and thin; the SGD family grey, the adaptive methods in colour."""

OUTCOME_COLOURS: MappingProxyType[Outcome, str] = MappingProxyType(
    {
        Outcome.TRAINED: "blue",
        Outcome.COLLAPSED: "sky",
        Outcome.DIVERGED: "vermillion",
        Outcome.REFUSED: "ochre",
        Outcome.STOPPED: "green",
        Outcome.UNTRAINABLE: "orange",
        Outcome.TIMED_OUT: "rose",
        Outcome.ERRORED: "ink",
        Outcome.MISSING: "grey",
    }
)


def css_variables() -> str:
    """The palette as CSS, following the reader's colour scheme."""

    def block(dark: bool) -> str:
        return "".join(f"--{row.variable}:{row.dark if dark else row.light};" for row in _ROWS)

    return (
        f":root{{color-scheme:light dark;{block(False)}}}"
        f"@media (prefers-color-scheme:dark){{:root{{{block(True)}}}}}"
    )
