"""The reference: runs a rule over lists of weight tensors with torch's foreach functions.

Operations overwrite what nothing needs any more, so that a step takes few temporaries and no copy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from evoptim.update.rule import WEIGHT, Rule, Scalar

Tensors = list[Tensor]
Number = float | Tensor | list[Tensor]
"""A number for all tensors of a list, or (a list) one for each of them."""
ListUniform = Callable[[int, Tensors], list[Tensor]]
"""(node, like) -> uniform numbers in [0, 1) of the shapes of ``like``."""


def _each(function: Callable[..., Tensor]) -> Callable[..., list[Tensor]]:
    """Foreach by a plain loop, for functions that torch has no foreach form of."""
    return lambda x, *others: [function(*row) for row in zip(x, *others, strict=True)]


def _asinh(x: Tensors) -> Tensors:
    """sign(x) log(1 + a + a r), a = |x|, r = 1 / (1/a + sqrt(1 + 1/a²)), with vector instructions.

    torch.asinh has none on a CPU and takes three times as long. No step overflows or cancels.
    """
    sizes = torch._foreach_abs(x)
    inverses = torch._foreach_reciprocal(sizes)
    ratios = torch._foreach_mul(inverses, inverses)
    torch._foreach_add_(ratios, 1.0)
    torch._foreach_sqrt_(ratios)
    torch._foreach_add_(ratios, inverses)
    torch._foreach_reciprocal_(ratios)
    torch._foreach_addcmul_(sizes, sizes, ratios)
    torch._foreach_log1p_(sizes)
    return [torch.copysign(size, each) for size, each in zip(sizes, x, strict=True)]


def _add_scaled(x: Any, y: Any, scalar: Any) -> Any:
    if isinstance(scalar, float):
        return torch._foreach_add(x, y, alpha=scalar)
    return torch._foreach_add(x, torch._foreach_mul(y, scalar))


def _add_scaled_(x: Any, y: Any, scalar: Any) -> None:
    if isinstance(scalar, float):
        torch._foreach_add_(x, y, alpha=scalar)
    else:
        torch._foreach_add_(x, torch._foreach_mul(y, scalar))


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "neg": torch._foreach_neg,
    "abs": torch._foreach_abs,
    "sign": torch._foreach_sign,
    "sqrt": torch._foreach_sqrt,
    "exp": torch._foreach_exp,
    "log": torch._foreach_log,
    "sigmoid": torch._foreach_sigmoid,
    "tanh": torch._foreach_tanh,
    "atan": torch._foreach_atan,
    "asinh": _asinh,
    "erf": torch._foreach_erf,
    "erfc": torch._foreach_erfc,
    "i1e": _each(torch.special.i1e),
    "reciprocal": torch._foreach_reciprocal,
    "add_scalar": torch._foreach_add,
    "mul_scalar": torch._foreach_mul,
    "div_scalar": torch._foreach_div,
    "clamp_min": torch._foreach_clamp_min,
    "clamp_max": torch._foreach_clamp_max,
    "add": torch._foreach_add,
    "sub": torch._foreach_sub,
    "mul": torch._foreach_mul,
    "div": torch._foreach_div,
    "maximum": torch._foreach_maximum,
    "minimum": torch._foreach_minimum,
    "pow": torch._foreach_pow,
    "add_scaled": _add_scaled,
    "sum": _each(lambda x: x.sum()),
}

_IN_PLACE: dict[str, Callable[..., Any]] = {
    "neg": torch._foreach_neg_,
    "abs": torch._foreach_abs_,
    "sign": torch._foreach_sign_,
    "sqrt": torch._foreach_sqrt_,
    "exp": torch._foreach_exp_,
    "log": torch._foreach_log_,
    "sigmoid": torch._foreach_sigmoid_,
    "tanh": torch._foreach_tanh_,
    "atan": torch._foreach_atan_,
    "erf": torch._foreach_erf_,
    "erfc": torch._foreach_erfc_,
    "reciprocal": torch._foreach_reciprocal_,
    "add_scalar": torch._foreach_add_,
    "mul_scalar": torch._foreach_mul_,
    "div_scalar": torch._foreach_div_,
    "clamp_min": torch._foreach_clamp_min_,
    "clamp_max": torch._foreach_clamp_max_,
    "add": torch._foreach_add_,
    "sub": torch._foreach_sub_,
    "mul": torch._foreach_mul_,
    "div": torch._foreach_div_,
    "maximum": torch._foreach_maximum_,
    "minimum": torch._foreach_minimum_,
    "pow": torch._foreach_pow_,
    "add_scaled": _add_scaled_,
}

_COMMUTATIVE = frozenset({"add", "mul", "maximum", "minimum"})


@dataclass(frozen=True)
class _Step:
    """One operation with what is known of it before any tensor is seen."""

    name: str
    source: str
    inputs: tuple[int, ...]
    """Those of the operation, swapped where only the second one can be overwritten."""
    number: float | None
    """A number that never changes."""
    scalar: int | None
    """The place among :attr:`Rule.scalars` of one that does."""
    in_place: bool
    """Whether the result takes the place of the first input."""
    done_with: tuple[int, ...]
    """Values that nothing needs after this step."""


class Interpreter:
    """Takes one step of a rule on lists of tensors.

    Args:
        rule: What to compute.
    """

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._steps = _plan(rule)
        self._stores = rule.stores

    def __call__(
        self,
        tensors: Mapping[str, Tensors],
        scalars: Sequence[Number],
        uniform: ListUniform,
    ) -> None:
        """Change the weights and state tensors in place.

        Args:
            tensors: Lists of equal length: ``gradient``, ``weight`` and every state tensor of the
                rule. The gradients stay as they are.
            scalars: The values of :attr:`Rule.scalars`, in that order.
            uniform: Source of uniform random numbers, by node.
        """
        values: dict[int, Any] = {}
        for number, step in enumerate(self._steps):
            inputs = [values[each] for each in step.inputs]
            if step.name == "read":
                values[number] = tensors[step.source]
            elif step.name == "full":
                values[number] = [torch.full_like(x, step.number or 0.0) for x in tensors[WEIGHT]]
            elif step.name == "drop":
                values[number] = _drop(inputs[0], uniform(int(step.source), inputs[0]), step.number)
            else:
                if step.scalar is not None:
                    inputs.append(scalars[step.scalar])
                elif step.number is not None:
                    inputs.append(step.number)
                if step.in_place:
                    _IN_PLACE[step.name](*inputs)
                    values[number] = inputs[0]
                else:
                    values[number] = _FUNCTIONS[step.name](*inputs)
            for each in step.done_with:
                del values[each]
        for name, number in self._stores:
            if values[number] is not tensors[name]:
                torch._foreach_copy_(tensors[name], values[number])


def _drop(x: Tensors, drawn: Tensors, probability: Any) -> Tensors:
    return [
        torch.where(each >= probability, kept, 0.0) for each, kept in zip(drawn, x, strict=True)
    ]


def _plan(rule: Rule) -> tuple[_Step, ...]:
    last_use = {each: n for n, step in enumerate(rule.operations) for each in step.inputs}
    stored = {number for _, number in rule.stores}
    chains = {pair for name, number in rule.stores for pair in _chain(rule, name, number, stored)}
    reduced = rule.reduced
    owned: set[int] = set()
    steps = []
    for number, operation in enumerate(rule.operations):

        def free(each: int, number: int = number) -> bool:
            """Whether the memory of value ``each`` can hold the result of this step."""
            return (
                last_use[each] == number
                and each not in stored
                and (each in owned or (each, number) in chains)
                and (each not in reduced or number in reduced)
            )

        inputs = operation.inputs
        if operation.name in _COMMUTATIVE and not free(inputs[0]) and free(inputs[1]):
            inputs = inputs[::-1]
        in_place = (
            operation.name in _IN_PLACE
            and free(inputs[0])
            and (len(inputs) == 1 or inputs[0] != inputs[1])
        )
        if operation.name != "read" and not (in_place and (inputs[0], number) in chains):
            owned.add(number)
        steps.append(
            _Step(
                operation.name,
                operation.source,
                inputs,
                number=None if isinstance(operation.scalar, Scalar) else operation.scalar,
                scalar=(
                    rule.scalars.index(operation.scalar)
                    if isinstance(operation.scalar, Scalar)
                    else None
                ),
                in_place=in_place,
                done_with=tuple(
                    each
                    for each in dict.fromkeys(inputs)
                    if last_use[each] == number and each not in stored
                ),
            )
        )
    return tuple(steps)


def _chain(rule: Rule, name: str, number: int, stored: set[int]) -> list[tuple[int, int]]:
    """The (input, operation) pairs that lead from reading ``name`` to what is stored there.

    Along them the tensor itself may hold the intermediate values, unless one of those is to be
    stored elsewhere: it would be overwritten.
    """
    pairs: list[tuple[int, int]] = []
    while rule.operations[number].inputs:
        first = rule.operations[number].inputs[0]
        if first in stored:
            return []
        pairs.append((first, number))
        number = first
    read = rule.operations[number]
    return pairs if read.name == "read" and read.source == name else []
