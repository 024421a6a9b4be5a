"""The functions of kernels: how accurate they are, and what they make of special numbers."""

from __future__ import annotations

import math

import pytest
import torch
from kernel_steps import CPU, compiled, interpreted, uniform

from evoptim.kernels import kernel
from evoptim.kernels.functions import EXPRESSIONS, NEAR, NEAR_EXPRESSIONS
from evoptim.update import Operation, Rule
from evoptim.update.rule import GRADIENT, WEIGHT

pytestmark = pytest.mark.usefixtures("image_cache")


# Largest error of each function of float32 against torch's in float64, in units in the last place.
# What is written in functions.py: 1 for exp and log, 2 to 3 for what is made of them, and i1e as
# good as torch's own (10). glibc promises 4 for its vector functions.
ULPS = {
    "exp": 1.5, "log": 1.5, "sigmoid": 4, "tanh": 3, "asinh": 3, "i1e": 10, "atan": 4, "erf": 4.5,
    "erfc": 4.5, "pow": 4, "div_scalar": 1.5,
}  # fmt: skip
# Here torch itself is the measure: its own square root is 1 off, its i1e more.
DOUBLE_ULPS = {"sigmoid": 6, "i1e": 40, "div_scalar": 1.5, "sqrt": 1} | dict.fromkeys(
    ("exp", "log", "tanh", "asinh", "atan", "erf", "erfc", "pow"), 4.5
)
TWO = {"add", "sub", "mul", "div", "maximum", "minimum", "pow", "add_scaled"}


def elementary(name: str) -> Rule:
    """weight <- f(gradient) or f(gradient, weight)."""
    inputs = (0, 1) if name in TWO else (0,)
    scalar = 0.375 if name.endswith(("_scalar", "_scaled")) or name.startswith("clamp") else None
    reads = (Operation("read", source=GRADIENT), Operation("read", source=WEIGHT))
    return Rule((*reads, Operation(name, inputs, scalar)), ((WEIGHT, 2),))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", EXPRESSIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_functions_are_accurate_and_keep_special_values(name: str, dtype: torch.dtype) -> None:
    rule = elementary(name)
    lowest = -44 if dtype == torch.float32 else -320
    sizes = torch.logspace(lowest, 38, 30_011, dtype=torch.float64).to(dtype)
    usual = torch.logspace(-3, 3, 30_011, dtype=torch.float64).to(dtype)
    special = torch.tensor([0.0, torch.inf, torch.nan, 1.0, 88.8, 104.0, 3e38], dtype=dtype)
    x = torch.cat([sizes, usual, special])
    x = torch.cat([x, -x]).repeat(2 if name in TWO else 1)
    draw = torch.Generator().manual_seed(0)
    y = torch.randn(len(x), generator=draw, dtype=dtype)
    y[::50] = special[torch.arange(len(y[::50])) % len(special)]
    if name == "pow":
        x = x.abs()
    given = {GRADIENT: [x], WEIGHT: [y]}
    got = compiled(rule, given)[WEIGHT][0].double()
    exactly = interpreted(rule, {key: [each[0].double()] for key, each in given.items()})
    expected = exactly[WEIGHT][0].to(dtype).double()
    assert torch.equal(got.isnan(), expected.isnan())
    largest, tiny = torch.finfo(dtype).max, torch.finfo(dtype).tiny
    near_overflow = exactly[WEIGHT][0].abs() > 0.999 * largest
    assert torch.equal(got.isinf()[~near_overflow], expected.isinf()[~near_overflow])
    finite = expected.isfinite() & got.isfinite()
    allowed = (ULPS if dtype == torch.float32 else DOUBLE_ULPS).get(name, 0.51)
    # tiny: what underflows may go to 0, as it does in torch's vector functions.
    error = (got - exactly[WEIGHT][0]).abs()[finite] - tiny
    unit = torch.finfo(dtype).eps * expected.abs()[finite]
    assert (error <= allowed * unit).all(), (error / unit).nan_to_num().max()


@pytest.mark.parametrize("name", NEAR_EXPRESSIONS)
def test_short_series_are_as_accurate_for_small_inputs(name: str) -> None:
    x = torch.cat(
        [
            torch.logspace(-40, math.log10(NEAR), 20_000, dtype=torch.float64).float(),
            torch.linspace(-NEAR, NEAR, 20_001),
            torch.tensor([0.0, -0.0]),
        ]
    ).clamp(-NEAR, NEAR)
    rule = elementary(name)
    given = {GRADIENT: [x], WEIGHT: [torch.zeros_like(x)]}
    got = compiled(rule, given)[WEIGHT][0]
    wide = {key: [each[0].double()] for key, each in given.items()}
    expected = interpreted(rule, wide)[WEIGHT][0]
    unit = torch.finfo(torch.float32).eps * expected.abs() + torch.finfo(torch.float32).tiny
    assert ((got.double() - expected).abs() <= 2 * unit).all()
    # One large input sends its strip, and what follows in its block, the long way.
    mixed = torch.cat([x, torch.tensor([3.0]), x])
    given = {GRADIENT: [mixed], WEIGHT: [torch.zeros_like(mixed)]}
    assert torch.allclose(
        compiled(rule, given)[WEIGHT][0][len(x) + 1 :], got, rtol=2e-6, atol=1e-38
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sixteen_bit_numbers_are_read_and_rounded_as_torch_does(dtype: torch.dtype) -> None:
    reads = (Operation("read", source=GRADIENT), Operation("read", source="m"))
    every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    widened = Rule((*reads, Operation("neg", (0,))), (("m", 2),))
    tensors = {GRADIENT: [every], WEIGHT: [every.clone()], "m": [torch.zeros(2**16)]}
    kernel(widened, dtype, CPU)(tensors, [], uniform)  # type: ignore[misc]
    torch.testing.assert_close(tensors["m"][0], -every.float(), rtol=0, atol=0, equal_nan=True)

    narrowed = Rule((*reads, Operation("neg", (1,))), (("m", 1), (WEIGHT, 2)))
    bits = torch.randint(-(2**31), 2**31, (2**19,), generator=torch.Generator().manual_seed(0))
    ties = torch.cat([every.float(), every.float() * (1 + 2.0**-9), every.float() * (1 + 2.0**-12)])
    wide = torch.cat([bits.to(torch.int32).view(torch.float32), ties])
    tensors = {GRADIENT: [torch.zeros(len(wide), dtype=dtype)], "m": [wide]}
    tensors[WEIGHT] = [tensors[GRADIENT][0].clone()]
    kernel(narrowed, dtype, CPU)(tensors, [], uniform)  # type: ignore[misc]
    expected = (-wide).to(dtype)
    torch.testing.assert_close(tensors[WEIGHT][0], expected, rtol=0, atol=0, equal_nan=True)
