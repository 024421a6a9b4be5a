"""Every operator against the NumPy evaluation, and what each promises by itself."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from numpy_reference import BINARY as NUMPY_BINARY
from numpy_reference import UNARY as NUMPY_UNARY
from numpy_reference import NodeState, code_of
from torch import Tensor

from evoptim.operators import ARITY, BINARY, UNARY

DTYPES = (np.float32, np.float64)
# Out of domain, at the edges of float32, and where a formula changes its branch.
SIZES = (0.0, 1e-30, 1e-8, 1e-7, 1e-4, 0.3, 1.0, 2.0, 9.0, 88.0, 90.0, 1e4, 1e20, np.inf)
X = np.array([*SIZES, *(-size for size in SIZES), np.nan])


@dataclass
class Site:
    """A node of one weight tensor, with its memory and its generator."""

    count: int = 1
    dims: tuple[int, ...] = (0,)
    kept: Tensor | None = None
    rng: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(0))

    def memory(self, like: Tensor) -> Tensor:
        self.kept = torch.zeros_like(like) if self.kept is None else self.kept
        return self.kept

    def uniform(self, like: Tensor) -> Tensor:
        return torch.rand(like.shape, generator=self.rng, dtype=like.dtype)


STATELESS = dict(NUMPY_UNARY.values())
STATEFUL = [name for name, row in UNARY.items() if row.stateful]
STOCHASTIC = [name for name, row in UNARY.items() if row.stochastic]


def agree(got: Tensor, want: np.ndarray) -> bool:
    # Two libraries' functions: a few units in the last place, and what vanishes may flush to 0.
    relative, absolute = (2e-6, 1e-7) if want.dtype == np.float32 else (1e-9, 1e-12)
    return bool(np.allclose(got.numpy(), want, rtol=relative, atol=absolute, equal_nan=True))


def test_there_are_26_unary_and_10_binary_operators() -> None:
    assert (len(UNARY), len(BINARY), len(ARITY)) == (26, 10, 36)
    assert set(UNARY) == {*STATELESS, *STATEFUL, *STOCHASTIC}
    assert set(BINARY) == {name for name, _ in NUMPY_BINARY.values()}
    symbols = [row.symbol for row in (*UNARY.values(), *BINARY.values())]
    assert len(set(symbols)) == 36


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", STATELESS)
def test_unary(name: str, dtype: type) -> None:
    x = X[np.isfinite(X)] if name == "norm_clip" else X
    with np.errstate(all="ignore"):
        want = STATELESS[name](x.astype(dtype))
    assert agree(UNARY[name].apply(torch.tensor(x.astype(dtype)), Site()), want)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "function"), NUMPY_BINARY.values())
def test_binary(name: str, function: object, dtype: type) -> None:
    x, y = (part.ravel().astype(dtype) for part in np.meshgrid(X, X))
    with np.errstate(all="ignore"):
        want = function(x, y)  # type: ignore[operator]
    assert agree(BINARY[name].apply(torch.tensor(x), torch.tensor(y)), want)


@pytest.mark.parametrize("name", [name for name, row in BINARY.items() if row.commutative])
def test_commutative_operators_commute_to_the_last_bit(name: str) -> None:
    x, y = (torch.tensor(part.ravel()) for part in np.meshgrid(X, X))
    one, other = BINARY[name].apply(x, y), BINARY[name].apply(y, x)
    assert torch.equal(one.nan_to_num(7.0), other.nan_to_num(7.0))


@pytest.mark.parametrize("name", STATEFUL)
def test_stateful_operators_over_steps(name: str) -> None:
    values = np.random.default_rng(0).normal(size=(12, 5))
    site, reference = Site(), NodeState()
    code = code_of({"kind": "unary", "op": name})
    kept = []
    for step, x in enumerate(values, start=1):
        site.count = step
        got = UNARY[name].apply(torch.tensor(x), site)
        assert agree(got, reference.apply(code, x, published=False, mask=None))
        kept.append((got, got.clone()))
    # What a step returned is its own: later steps do not change it.
    assert all(torch.equal(got, then) for got, then in kept)


def test_exp_mov_avg_of_a_constant_is_that_constant() -> None:
    site = Site()
    for step in range(1, 6):
        site.count = step
        got = UNARY["exp_mov_avg"].apply(torch.tensor([3.0], dtype=torch.float64), site)
        assert got.item() == pytest.approx(3.0, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "probability"), [("drop50", 0.5), ("drop30", 0.3), ("drop10", 0.1)]
)
def test_dropout_zeroes_that_share_and_scales_the_rest(name: str, probability: float) -> None:
    n = 100_000
    dropped = UNARY[name].apply(torch.full((n,), 2.0), Site())
    zero = (dropped == 0).float().mean().item()
    # Five standard deviations of a share of n draws.
    assert abs(zero - probability) < 5 * (probability * (1 - probability) / n) ** 0.5
    assert torch.allclose(dropped[dropped != 0], torch.tensor(2.0 / (1 - probability)))


def test_dropout_of_infinity_is_zero_where_dropped() -> None:
    dropped = UNARY["drop50"].apply(torch.full((1_000,), torch.inf), Site())
    assert set(dropped.tolist()) == {0.0, torch.inf}


def test_norm_clip_takes_every_row_for_a_tensor_of_its_own() -> None:
    x = torch.tensor([[3.0, 4.0], [0.3, 0.4]])
    got = UNARY["norm_clip"].apply(x, Site(dims=(-1,)))
    assert torch.allclose(got, torch.tensor([[0.6, 0.8], [0.3, 0.4]]))
    whole = UNARY["norm_clip"].apply(x, Site(dims=(0, 1)))
    assert whole.norm().item() == pytest.approx(1.0)
