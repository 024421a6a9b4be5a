"""Compiles the interpreter itself with ``torch.compile``, for accelerators."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from evoptim.kernels.fallback import warn_once
from evoptim.update import Interpreter, ListUniform, Rule
from evoptim.update.rule import GRADIENT, WEIGHT

Masks = dict[int, list[Tensor]]


class InductorKernel:
    """One step of a rule on lists of tensors, called as :class:`evoptim.update.Interpreter` is.

    It is compiled at its first call and again for other shapes, never for other scalars: they are
    tensors on the device, filled by one copy that nothing waits for. Where Inductor fails, the
    interpreter runs, after a warning.

    Args:
        rule: What to compute.
        dtype: Type of the weights; 16-bit ones are computed in float32.
    """

    def __init__(self, rule: Rule, dtype: torch.dtype) -> None:
        self._interpreter = Interpreter(rule)
        self._computed = torch.float64 if dtype == torch.float64 else torch.float32
        self._nodes = {int(each.source) for each in rule.operations if each.name == "drop"}
        self._compiled: Callable[..., None] | None = torch.compile(
            _of_its_own(self._eager), dynamic=False, fullgraph=True
        )

    def __call__(
        self,
        tensors: Mapping[str, Sequence[Tensor]],
        scalars: Sequence[float],
        uniform: ListUniform,
    ) -> None:
        """Change the weights and state tensors in place; see :class:`CpuKernel`."""
        device = tensors[WEIGHT][0].device
        lists = {name: list(each) for name, each in tensors.items()}
        host = torch.tensor(scalars, dtype=self._computed, pin_memory=device.type == "cuda")
        numbers = list(host.to(device, non_blocking=True).unbind())
        like = [weight.to(self._computed) for weight in lists[WEIGHT]] if self._nodes else []
        masks = {node: uniform(node, like) for node in self._nodes}
        if self._compiled is not None:
            try:
                self._compiled(lists, numbers, masks)
                return
            except _compile_errors() as error:
                self._compiled = None
                said = " ".join(str(error).split("\n\n")[0].split())
                warn_once(f"torch.compile failed ({said[:300]})")
        self._eager(lists, numbers, masks)

    def _eager(self, tensors: dict[str, list[Tensor]], scalars: list[Tensor], masks: Masks) -> None:
        weights = tensors[WEIGHT]
        wide = {
            name: [each.to(self._computed) for each in tensors[name]] for name in (GRADIENT, WEIGHT)
        }
        self._interpreter({**tensors, **wide}, scalars, lambda node, like: masks[node])  # noqa: ARG005
        # Where nothing had to be widened these are the weights themselves.
        if wide[WEIGHT][0] is not weights[0]:
            torch._foreach_copy_(weights, wide[WEIGHT])


def _of_its_own(method: Callable[..., None]) -> Callable[..., None]:
    """``method`` with a code object that no other kernel has.

    Dynamo counts compilations by code object and gives up after a few: all kernels together would
    reach that number, each with its own shapes stays below it.
    """
    bound = cast("types.MethodType", method)
    plain = cast("types.FunctionType", bound.__func__)
    twin = types.FunctionType(
        plain.__code__.replace(),
        plain.__globals__,
        plain.__name__,
        plain.__defaults__,
        plain.__closure__,
    )
    return types.MethodType(twin, bound.__self__)


def _compile_errors() -> tuple[type[Exception], ...]:
    # Imported when something failed: half a second that nothing else needs.
    from torch._dynamo.exc import TorchDynamoException

    errors: list[Any] = [TorchDynamoException]
    try:
        from torch._inductor.exc import InductorError
    except ImportError:
        return tuple(errors)
    return (*errors, InductorError)
