"""Small weights, gradients that depend on the step alone, and exact comparison."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

SHAPES: tuple[tuple[int, ...], ...] = ((3, 2), (5,), (), (0,), (1, 4))
"""A matrix, a vector, a number, nothing at all, and a matrix whose strides are ambiguous."""


@lru_cache(maxsize=4096)
def normal(shape: tuple[int, ...], *address: int) -> Tensor:
    """Normal numbers in float64 that belong to ``address``; shared, so change a copy."""
    seed = 0
    for part in address:
        seed = seed * 1009 + part + 1
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def weights(
    dtype: torch.dtype = torch.float32, shapes: Sequence[tuple[int, ...]] = SHAPES
) -> list[Parameter]:
    """One weight tensor of each shape."""
    return [
        Parameter(normal(shape, 0, place).to(dtype, copy=True))
        for place, shape in enumerate(shapes)
    ]


def give_gradients(given: Iterable[Tensor], step: int, sign: float = 1.0) -> None:
    """The gradients of ``step``: normal numbers, whatever the weights are."""
    for place, weight in enumerate(given):
        weight.grad = (sign * normal(tuple(weight.shape), 1 + step, place)).to(weight.dtype)


def advance(given: Iterable[Tensor], optimizer: Optimizer, steps: range) -> None:
    """Take the steps numbered ``steps``."""
    given = list(given)
    for step in steps:
        give_gradients(given, step)
        optimizer.step()


def clones(given: Iterable[Tensor]) -> list[Parameter]:
    """Parameters of the same values, without gradients."""
    return [Parameter(weight.detach().clone()) for weight in given]


def assert_same(got: Iterable[Tensor], want: Iterable[Tensor], **tolerance: float) -> None:
    """Bit for bit, or within ``rtol`` and ``atol``; NaN equals NaN."""
    tolerance = tolerance or {"rtol": 0.0, "atol": 0.0}
    for mine, theirs in zip(got, want, strict=True):
        if not torch.equal(mine, theirs):
            torch.testing.assert_close(mine.detach(), theirs.detach(), equal_nan=True, **tolerance)


def assert_same_state(got: Any, want: Any, **tolerance: float) -> None:
    """Of two state dicts, or parts of them."""
    if isinstance(want, dict):
        assert list(got) == list(want)
        for name in want:
            assert_same_state(got[name], want[name], **tolerance)
    elif isinstance(want, list):
        assert len(got) == len(want)
        for mine, theirs in zip(got, want, strict=True):
            assert_same_state(mine, theirs, **tolerance)
    elif isinstance(want, Tensor):
        assert isinstance(got, Tensor)
        assert got.dtype == want.dtype
        assert_same([got], [want], **tolerance)
    else:
        assert got == want


def through_a_file(state: Any) -> Any:
    """What is read again of what is saved, by a reader that trusts nobody."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)
