"""Paths of optimizers on functions of the plane."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from evoptim import zoo
from evoptim.config import ScheduleSpec
from evoptim.optim.baselines import make_baseline

PATH_STEPS = 500
PATH_RATES = tuple(float(f"{m}e{k}") for k in range(-3, 3) for m in (1, 3))
LONGEST_STEP = 0.4
"""A path with longer ones jumps over the landscape by chance."""


@dataclass(frozen=True)
class Surface:
    """A function of the plane with one minimum."""

    name: str
    value: Callable[[Tensor, Tensor], Tensor]
    start: tuple[float, float]
    minimum: tuple[float, float]
    window: tuple[float, float, float, float]
    """Left, right, bottom, top of the picture."""

    @functools.cached_property
    def scale(self) -> float:
        """Makes the gradient at the start 1 long."""
        at = torch.tensor(self.start, dtype=torch.float64, requires_grad=True)
        self.value(at[0], at[1]).backward()
        assert at.grad is not None
        return 1.0 / at.grad.norm().item()


def _rosenbrock(x: Tensor, y: Tensor) -> Tensor:
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def _beale(x: Tensor, y: Tensor) -> Tensor:
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


ROSENBROCK = Surface("Rosenbrock", _rosenbrock, (-1.5, 1.5), (1.0, 1.0), (-2.0, 1.8, -0.7, 2.2))
BEALE = Surface("Beale", _beale, (1.0, 1.5), (3.0, 0.5), (-1.2, 4.4, -2.1, 1.9))

Path2 = list[tuple[float, float]]


def path(name: str, surface: Surface, rate: float) -> Path2 | None:
    """Where an optimizer goes; None if it leaves the picture or jumps."""
    at = torch.tensor(surface.start, dtype=torch.float64, requires_grad=True)
    warmup = PATH_STEPS // 20
    optimizer = (
        make_baseline("adam", [at], rate, ScheduleSpec(total_steps=PATH_STEPS, warmup_steps=warmup))
        if name == "adam"
        else zoo.create(name, [at], lr=rate, total_steps=PATH_STEPS, warmup_steps=warmup)
    )
    left, right, bottom, top = surface.window
    points = [surface.start]
    for _ in range(PATH_STEPS):
        optimizer.zero_grad()
        (surface.scale * surface.value(at[0], at[1])).backward()
        optimizer.step()
        x, y = at.tolist()
        inside = left <= x <= right and bottom <= y <= top
        if not inside or math.dist((x, y), points[-1]) > LONGEST_STEP:
            return None
        points.append((x, y))
    return points


@functools.cache
def best_path(name: str, surface: Surface) -> tuple[float, Path2]:
    """The rate that comes near the minimum soonest, and the path at it."""

    def farness(points: Path2) -> float:
        return sum(math.log10(math.dist(each, surface.minimum) + 0.01) for each in points)

    found = [(rate, path(name, surface, rate)) for rate in PATH_RATES]
    kept = [(rate, points) for rate, points in found if points is not None]
    return min(kept, key=lambda each: farness(each[1]))
