"""Every optimizer of the zoo arrives at known minima, in float64, along its own schedule.

Rosenbrock's valley and Beale's function are the usual two-dimensional tests; the optimum of the
logistic regression is found by Newton's method to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from evoptim import zoo

Point = Sequence[float]
Gradient = Callable[[Point], Point]

LONG = 10_000
"""Steps for those whose movement is about the gradient's size: Rosenbrock's valley is 2,500 times
steeper across than along, and the rate must fit the former."""


@dataclass(frozen=True)
class Row:
    """Rates of one optimizer."""

    name: str
    decay: bool
    rosenbrock: float
    beale: float
    logistic: float = 1.0
    rosenbrock_steps: int = 3_000
    rosenbrock_scale: float = 1.0
    """Of the loss. Where it is not 1 the reason stands beside the row."""
    logistic_distance: float = 1e-8
    """How near it has to come. Where it is not 1e-8 the reason stands beside the row."""

    def __str__(self) -> str:
        return f"{self.name}-decay" if self.decay else self.name


ROWS = (
    # Opt1 to Opt3 add about softsign(1e-5 w) to the gradient: a pull towards 0 that moves the
    # point of rest by 1e-5 |w| / curvature, 8e-5 in the logistic regression.
    Row("opt1", False, 0.01, 0.1, rosenbrock_steps=LONG, logistic_distance=1e-4),
    Row("opt2", False, 0.01, 0.1, rosenbrock_steps=LONG, logistic_distance=1e-4),
    Row("opt3", False, 0.01, 0.1, rosenbrock_steps=LONG, logistic_distance=1e-4),
    # Opt4 and Opt5 divide by exp(average gradient): Rosenbrock's start, with gradient -216, makes
    # a step of e^216. A hundredth of the loss has the same minimum.
    Row("opt4", False, 0.5, 0.1, rosenbrock_steps=LONG, rosenbrock_scale=0.01),
    Row("opt4", True, 0.5, 0.1, rosenbrock_steps=LONG, rosenbrock_scale=0.01),
    Row("opt5", False, 0.5, 0.1, rosenbrock_steps=LONG, rosenbrock_scale=0.01),
    Row("opt5", True, 0.5, 0.1, rosenbrock_steps=LONG, rosenbrock_scale=0.01),
    Row("opt6", False, 0.01, 0.1, rosenbrock_steps=LONG),
    Row("opt6", True, 0.015, 0.1, rosenbrock_steps=LONG),
    Row("opt7", False, 0.008, 0.1, rosenbrock_steps=LONG),
    Row("opt7", True, 0.01, 0.1, rosenbrock_steps=LONG),
    Row("opt8", False, 0.008, 0.1, rosenbrock_steps=LONG),
    Row("opt8", True, 0.01, 0.1, rosenbrock_steps=LONG),
    Row("opt9", False, 0.0003, 0.003, rosenbrock_steps=LONG),
    Row("opt9", True, 0.0005, 0.01, rosenbrock_steps=LONG),
    Row("opt10", False, 0.01, 0.1),
    Row("opt10", True, 0.02, 0.1),
    Row("adamclip0", False, 0.03, 0.1),
    Row("adamclip1", False, 0.03, 0.1),
    Row("adamclip2", False, 0.03, 0.1),
    Row("adamclip3", False, 0.03, 0.1),
    Row("adamclip4", False, 0.03, 0.1),
    Row("powersign", False, 0.001, 0.01, rosenbrock_steps=LONG),
    Row("powersign", True, 0.0014, 0.01, rosenbrock_steps=LONG),
    Row("addsign", False, 0.0015, 0.03, rosenbrock_steps=LONG),
    Row("addsign", True, 0.0015, 0.03, rosenbrock_steps=LONG),
    Row("evo1", False, 0.001, 0.01),
    Row("evo1", True, 0.01, 0.1, rosenbrock_steps=LONG),
    # Steps of Lion and Evo2 have the size of the rate, which ends at 0 as (t - T)^2: they stop
    # where the rate falls below the distance.
    Row("lion", False, 0.03, 0.03, logistic=0.03, logistic_distance=1e-4),
    Row("evo2", False, 0.003, 0.01, logistic=0.01, logistic_distance=1e-4),
    Row("evo2", True, 0.003, 0.01, logistic=0.01, logistic_distance=1e-4),
)

every_row = pytest.mark.parametrize("row", ROWS, ids=str)


def minimize(row: Row, start: Point, gradient: Gradient, lr: float, steps: int) -> Tensor:
    """Where ``steps`` steps along warm-up and cosine lead."""
    point = Parameter(torch.tensor(start, dtype=torch.float64))
    optimizer = zoo.create(
        row.name,
        [point],
        lr=lr,
        total_steps=steps,
        warmup_steps=steps // 20,
        decay=row.decay,
    )
    for _ in range(steps):
        point.grad = torch.tensor(gradient(point.tolist()), dtype=torch.float64)
        optimizer.step()
    return point.detach()


def distance(point: Tensor, optimum: Point) -> float:
    return math.dist(point.tolist(), optimum)


def rosenbrock(point: Point) -> Point:
    """Of (1 - x)² + 100 (y - x²)²."""
    x, y = point
    return (-400 * x * (y - x * x) - 2 * (1 - x), 200 * (y - x * x))


def beale(point: Point) -> Point:
    """Of the sum over k = 1, 2, 3 of (c_k - x + x y^k)², c = 1.5, 2.25, 2.625."""
    x, y = point
    rows = [(c - x + x * y**k, y**k - 1, k * x * y ** (k - 1)) for c, k in BEALE]
    return (2 * sum(r * dx for r, dx, _ in rows), 2 * sum(r * dy for r, _, dy in rows))


BEALE = ((1.5, 1), (2.25, 2), (2.625, 3))
NEAR = 1e-2
"""Of a start that is 2.2 (Rosenbrock) and 2.1 (Beale) away."""


def of_rosenbrock(row: Row) -> None:
    scale = row.rosenbrock_scale
    found = minimize(
        row,
        (-1.2, 1.0),
        lambda point: [scale * each for each in rosenbrock(point)],
        row.rosenbrock,
        row.rosenbrock_steps,
    )
    assert distance(found, (1.0, 1.0)) < NEAR


@pytest.mark.parametrize("row", [row for row in ROWS if row.rosenbrock_steps < LONG], ids=str)
def test_through_rosenbrocks_valley(row: Row) -> None:
    of_rosenbrock(row)


@pytest.mark.slow
@pytest.mark.parametrize("row", [row for row in ROWS if row.rosenbrock_steps == LONG], ids=str)
def test_slowly_through_rosenbrocks_valley(row: Row) -> None:
    of_rosenbrock(row)


@pytest.mark.parametrize("name", ["opt4", "opt5"])
def test_a_division_by_exp_of_the_gradient_overflows_in_rosenbrocks_valley(name: str) -> None:
    """The reason for the smaller loss in the table, whatever the rate."""
    row = next(row for row in ROWS if row.name == name)
    for lr in (1e-1, 1e-4):
        with pytest.raises(OverflowError):
            minimize(row, (-1.2, 1.0), strictly(rosenbrock), lr, 200)


def strictly(gradient: Gradient) -> Gradient:
    """``gradient``, which refuses to be computed far out."""

    def computed(point: Point) -> Point:
        if not all(abs(each) < 1e12 for each in point):
            raise OverflowError(point)
        return gradient(point)

    return computed


@every_row
def test_to_beales_minimum(row: Row) -> None:
    found = minimize(row, (1.0, 1.0), beale, row.beale, 1_500)
    assert distance(found, (3.0, 0.5)) < NEAR


@lru_cache(maxsize=1)
def regression() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eighty points, their classes, and the weights of least regularised loss, by Newton."""
    rng = np.random.default_rng(0)
    inputs = np.c_[rng.normal(size=(80, 4)), np.ones(80)]
    scores = inputs @ np.array([1.0, -2.0, 0.5, 0.0, 0.3]) + rng.logistic(size=80)
    classes = (scores > 0).astype(float)
    weights = np.zeros(5)
    for _ in range(30):
        chances = 1 / (1 + np.exp(-inputs @ weights))
        curvature = (inputs.T * (chances * (1 - chances))) @ inputs / 80 + SHRINK * np.eye(5)
        slope = inputs.T @ (chances - classes) / 80 + SHRINK * weights
        weights = weights - np.linalg.solve(curvature, slope)
    assert np.abs(slope).max() < 1e-15
    return inputs, classes, weights


SHRINK = 0.05
"""Of the regularisation SHRINK/2 |w|²."""


@every_row
def test_to_the_optimum_of_a_logistic_regression(row: Row) -> None:
    inputs, classes, optimum = regression()

    def slope(point: Point) -> Point:
        weights = np.asarray(point)
        chances = 1 / (1 + np.exp(-inputs @ weights))
        return list(inputs.T @ (chances - classes) / 80 + SHRINK * weights)

    found = minimize(row, [0.0] * 5, slope, row.logistic, 600)
    assert distance(found, list(optimum)) < row.logistic_distance


def test_the_table_has_the_whole_zoo() -> None:
    assert {row.name for row in ROWS} == set(zoo.names())
    # Those whose formula changes with decay.
    assert {row.name for row in ROWS if row.decay} == {
        *(f"opt{number}" for number in range(4, 11)),
        "powersign",
        "addsign",
        "evo1",
        "evo2",
    }
