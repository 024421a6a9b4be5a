"""Telling a candidate's own failure from that of the machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from evoptim.errors import InfrastructureError

Result = TypeVar("Result")

_LONGEST_MESSAGE = 500
# torch raises a plain RuntimeError when the memory of the CPU is exhausted.
_NO_MEMORY = "DefaultCPUAllocator"
_MACHINE = (
    MemoryError,
    OSError,
    InfrastructureError,
    torch.cuda.OutOfMemoryError,
    getattr(torch, "AcceleratorError", torch.cuda.OutOfMemoryError),
)


def lacks_memory(error: BaseException) -> bool:
    """Whether memory, of the machine or of its GPU, was exhausted."""
    return (
        isinstance(error, MemoryError | torch.cuda.OutOfMemoryError)
        or _NO_MEMORY in str(error)
        or (isinstance(error, RuntimeError) and "out of memory" in str(error))
    )


class CandidateError(Exception):
    """An optimizer raised; the text is what, on one line."""


def guarded(call: Callable[[], Result]) -> Result:
    """The result of a call into an optimizer.

    Raises:
        CandidateError: it raised. What the machine is to blame for (memory, files, the GPU) passes
            through: the same candidate may well succeed elsewhere.
    """
    try:
        return call()
    except Exception as error:
        if isinstance(error, _MACHINE) or lacks_memory(error):
            raise
        raise CandidateError(_on_one_line(error)) from error


def _on_one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:_LONGEST_MESSAGE]
