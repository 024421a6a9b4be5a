"""Decay primitives a1..a14 and the small graphs built of them, over t = 0..T-1."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .operators import DECAY_BINARY, DECAY_UNARY, code_of

Float64 = NDArray[np.float64]
A14 = Literal["narrow", "wide"]


@lru_cache(maxsize=64)
def decay_primitives(total_steps: int, a14: A14 = "narrow") -> Mapping[str, Float64]:
    """Primitive name -> float64 array [T]. The authors hold two different a14."""
    t = np.arange(total_steps, dtype=np.float64)
    x = t / total_steps
    m = (2 * t % total_steps) / total_steps
    b = 0.95 * (1 - (t + 1) / total_steps)
    return {
        "a1": 1 - x,
        "a2": x,
        "a3": (1 + np.cos(np.pi * x)) / 2,
        "a4": (1 - np.cos(np.pi * x)) / 2,
        "a5": (1 + np.cos(2 * np.pi * x)) / 2,
        "a6": (1 - np.cos(2 * np.pi * x)) / 2,
        "a7": (1 + np.cos(np.pi * m)) / 2,
        "a8": (1 - np.cos(np.pi * m)) / 2,
        "a9": 1 - m,
        "a10": m,
        "a11": 0.01**x,
        "a12": 1 - 0.01**x,
        "a13": b / (0.05 + b),
        "a14": {"narrow": 0.95 - b / (0.05 + b), "wide": (0.95 - b) / (0.05 + b)}[a14],
    }


def decay_curve(decay: Mapping[str, Any], total_steps: int, a14: A14 = "narrow") -> Float64:
    """Values [T] of a decay graph; inputs name primitives or "h", the hidden node."""
    values = dict(decay_primitives(total_steps, a14))
    if decay.get("hidden") is not None:
        values["h"] = _apply(decay["hidden"], values)
    return _apply(decay["root"], values)


def _apply(node: Mapping[str, Any], values: Mapping[str, Float64]) -> Float64:
    table = DECAY_UNARY if node["kind"] == "unary" else DECAY_BINARY
    function: Any = table[code_of(node, "decay_")][1]
    with np.errstate(all="ignore"):
        result: Float64 = function(*(values[name] for name in node["inputs"]))
    return result
