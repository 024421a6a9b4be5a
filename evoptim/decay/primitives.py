"""The decay primitives a1..a14: functions of training progress, one row each.

x = t/T is progress, m = (2t mod T)/T is progress through each half, and
b = 0.95 (1 - (t+1)/T). Source: Morgan & Hougen, arXiv 2404.06679. The authors' programs hold two
forms of a14; ``a14`` is the narrow one, which stays within [0, 1], ``a14w`` the wide one, which
reaches 19: see docs/decisions/0002-intended-meanings.md.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Progress:
    """Training progress at every step, as float64 vectors of length T."""

    x: Tensor
    m: Tensor
    b: Tensor

    @staticmethod
    @functools.lru_cache(maxsize=64)
    def over(total_steps: int) -> Progress:
        """Progress at t = 0, …, T - 1."""
        import torch

        t = torch.arange(total_steps, dtype=torch.float64)
        return Progress(
            x=t / total_steps,
            m=(2 * t).remainder(total_steps) / total_steps,
            b=0.95 * (1.0 - (t + 1) / total_steps),
        )


@dataclass(frozen=True)
class Primitive:
    """One row of :data:`PRIMITIVES`."""

    name: str
    latex: str
    value: Callable[[Progress], Tensor]


# fmt: off
_ROWS: tuple[Primitive, ...] = (
    Primitive("a1", r"1-x", lambda p: 1.0 - p.x),
    Primitive("a2", r"x", lambda p: p.x),
    Primitive("a3", r"\tfrac{1+\cos \pi x}{2}", lambda p: (1.0 + (math.pi * p.x).cos()) / 2),
    Primitive("a4", r"\tfrac{1-\cos \pi x}{2}", lambda p: (1.0 - (math.pi * p.x).cos()) / 2),
    Primitive("a5", r"\tfrac{1+\cos 2\pi x}{2}", lambda p: (1.0 + (2 * math.pi * p.x).cos()) / 2),
    Primitive("a6", r"\tfrac{1-\cos 2\pi x}{2}", lambda p: (1.0 - (2 * math.pi * p.x).cos()) / 2),
    Primitive("a7", r"\tfrac{1+\cos \pi m}{2}", lambda p: (1.0 + (math.pi * p.m).cos()) / 2),
    Primitive("a8", r"\tfrac{1-\cos \pi m}{2}", lambda p: (1.0 - (math.pi * p.m).cos()) / 2),
    Primitive("a9", r"1-m", lambda p: 1.0 - p.m),
    Primitive("a10", r"m", lambda p: p.m),
    Primitive("a11", r"0.01^{x}", lambda p: 0.01 ** p.x),
    Primitive("a12", r"1-0.01^{x}", lambda p: 1.0 - 0.01 ** p.x),
    Primitive("a13", r"\tfrac{b}{0.05+b}", lambda p: p.b / (0.05 + p.b)),
    Primitive("a14", r"0.95-\tfrac{b}{0.05+b}", lambda p: 0.95 - p.b / (0.05 + p.b)),
    Primitive("a14w", r"\tfrac{0.95-b}{0.05+b}", lambda p: (0.95 - p.b) / (0.05 + p.b)),
)
# fmt: on

PRIMITIVES: MappingProxyType[str, Primitive] = MappingProxyType({row.name: row for row in _ROWS})
"""The primitives by name."""
