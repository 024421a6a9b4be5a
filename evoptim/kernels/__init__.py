"""Compiled steps: C++ on a CPU, Inductor elsewhere. They agree with the interpreter to rounding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from evoptim.kernels.compiler import BuildError
from evoptim.kernels.cpu import CpuKernel
from evoptim.kernels.fallback import warn_once
from evoptim.kernels.inductor import InductorKernel
from evoptim.kernels.source import supported
from evoptim.update import ListUniform, Rule

__all__ = ["BuildError", "CpuKernel", "InductorKernel", "Kernel", "kernel"]

Kernel = Callable[[Mapping[str, Sequence[Tensor]], Sequence[float], ListUniform], None]
"""Called as :class:`evoptim.update.Interpreter` is, with weights of their own type."""

_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
_kernels: dict[tuple[Rule, torch.dtype, str], Kernel | None] = {}


def kernel(rule: Rule, dtype: torch.dtype, device: torch.device) -> Kernel | None:
    """The compiled step of ``rule``, built at the first call.

    Args:
        rule: What to compute.
        dtype: Type of weights and gradients. State is float64 beside float64, else float32.
        device: Where the tensors are.

    Returns:
        A function that changes lists of tensors in place, or None if the interpreter has to do it:
        with one warning for each process where nothing can be compiled, without one where ``rule``
        or ``dtype`` is of a kind that no kernel is made for.
    """
    key = (rule, dtype, device.type)
    if key not in _kernels:
        _kernels[key] = _build(*key)
    return _kernels[key]


def _build(rule: Rule, dtype: torch.dtype, device: str) -> Kernel | None:
    if dtype not in _DTYPES:
        return None
    if device != "cpu":
        return InductorKernel(rule, dtype)
    if not supported(rule):
        return None
    try:
        return CpuKernel(rule, dtype)
    except BuildError as error:
        warn_once(str(error))
        return None
