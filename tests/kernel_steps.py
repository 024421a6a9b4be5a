"""Single steps of a rule by a kernel and by the interpreter, and how far they may differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from evoptim import Genome
from evoptim.kernels import kernel
from evoptim.update import Interpreter, Options, Rule, genome_formula
from evoptim.update.rule import GRADIENT, WEIGHT

CPU = torch.device("cpu")
SIZES = (0, 1, 7, 63, 64, 65, 20_003)
NORM = "Mom ~ norm((v hat)*(norm(g)))"
DROP = "None ~ (drop(g, 0.3))+(drop(deltaChange(s hat), 0.5))"
STATEFUL = "Nest ~ (expMovAvg(arcsinh(g)))+(MaxValue(exp(g)))"
# Step for step from equal states the two differ by the rounding of functions (ten units in the last
# place at most, see test_kernel_functions.py), of quotients by scalars, and of sums. On numbers of
# the order of 1 the largest difference seen among 300 genomes is 2 units; 32 leaves room for other
# compilers.
UNITS = 32
EPS = 2.0**-23

# What Inductor imports warns of itself.
OWN_WARNING = "ignore:.torch.jit.script_method. is deprecated:DeprecationWarning"


def rule_of(text: str, **options: bool) -> Rule:
    return genome_formula(Genome.parse(text)).rule(Options(**options))


def numbers(rule: Rule) -> list[float]:
    values = {
        "rate": -0.1, "momentum": 0.9, "decay": 0.7, "correction": 0.3, "weight_decay": 0.01,
        "shrink": 0.999,
    }  # fmt: skip
    return [values[each.kind] for each in rule.scalars]


def uniform(node: int, like: Sequence[Tensor]) -> list[Tensor]:
    draw = torch.Generator()
    return [
        torch.rand(each.shape, generator=draw.manual_seed(100 * node + place), dtype=each.dtype)
        for place, each in enumerate(like)
    ]


def problem(
    rule: Rule, shapes: Sequence[Any], dtype: torch.dtype = torch.float32, seed: int = 0
) -> dict[str, list[Tensor]]:
    """Gradients and weights of order 1, and a state such as steps leave behind."""
    draw = torch.Generator().manual_seed(seed)
    wide = torch.float64 if dtype == torch.float64 else torch.float32

    def normal() -> list[Tensor]:
        return [torch.randn(shape, generator=draw, dtype=wide).to(dtype) for shape in shapes]

    return {
        GRADIENT: normal(),
        WEIGHT: normal(),
        **{
            name: [torch.rand(shape, generator=draw, dtype=wide) for shape in shapes]
            for name in rule.state
        },
    }


def copies(tensors: Mapping[str, Sequence[Tensor]]) -> dict[str, list[Tensor]]:
    return {name: [each.clone() for each in row] for name, row in tensors.items()}


def interpreted(rule: Rule, tensors: Mapping[str, list[Tensor]]) -> dict[str, list[Tensor]]:
    """The interpreter's step, with 16-bit tensors widened around it."""
    after = copies(tensors)
    dtype = after[WEIGHT][0].dtype
    if dtype in (torch.bfloat16, torch.float16):
        for name in (GRADIENT, WEIGHT):
            after[name] = [each.float() for each in after[name]]
    Interpreter(rule)(after, numbers(rule), uniform)
    for name in (GRADIENT, WEIGHT):
        after[name] = [each.to(dtype) for each in after[name]]
    return after


def compiled(
    rule: Rule, tensors: Mapping[str, list[Tensor]], built: Callable[..., None] | None = None
) -> dict[str, list[Tensor]]:
    after = copies(tensors)
    (built or kernel(rule, after[WEIGHT][0].dtype, CPU))(after, numbers(rule), uniform)  # type: ignore[misc]
    return after


def assert_agree(mine: Mapping[str, list[Tensor]], theirs: Mapping[str, list[Tensor]]) -> None:
    assert mine.keys() == theirs.keys()
    for name, rows in mine.items():
        for one, other in zip(rows, theirs[name], strict=True):
            assert one.dtype == other.dtype
            # Rounded once more, a difference in the last place may become one of 16 bits.
            half = one.dtype in (torch.bfloat16, torch.float16)
            error = (1 if half else UNITS) * torch.finfo(one.dtype).eps
            torch.testing.assert_close(one, other, rtol=error, atol=error, equal_nan=True)
