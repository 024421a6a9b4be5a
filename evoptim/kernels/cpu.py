"""Runs compiled C++ on lists of tensors of a CPU."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evoptim.kernels.compiler import load
from evoptim.kernels.source import layout, source
from evoptim.kernels.threads import together
from evoptim.update import ListUniform, Rule
from evoptim.update.rule import GRADIENT, WEIGHT

BLOCK = 2**14
"""Elements that a thread takes at a time."""
TOGETHER = 2**18
"""Elements that one phase passes over before the next phase starts, if a tensor has no more."""
ALONE = 2**15
"""Elements for which a second thread is not worth waking."""

Integers = NDArray[np.int64]


class CpuKernel:
    """One step of a rule on lists of tensors, called as :class:`evoptim.update.Interpreter` is.

    Unlike there, weights and gradients of 16-bit types come as they are, with state in float32.

    Args:
        rule: What to compute; :func:`evoptim.kernels.source.supported`.
        dtype: Type of the weights.

    Raises:
        BuildError: it cannot be compiled.
    """

    def __init__(self, rule: Rule, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._computed = torch.float64 if dtype == torch.float64 else torch.float32
        self._layout = layout(rule)
        self._library = load(source(rule, dtype))
        self._step = self._library.step
        self._step.argtypes = [ctypes.c_void_p, ctypes.c_int64, *[ctypes.c_void_p] * 6]
        self._step.restype = None

    def __call__(
        self,
        tensors: Mapping[str, Sequence[Tensor]],
        scalars: Sequence[float],
        uniform: ListUniform,
    ) -> None:
        """Change the weights and state tensors in place.

        Args:
            tensors: Lists of equal length: ``gradient``, ``weight`` and every state tensor of the
                rule. The gradients stay as they are.
            scalars: The values of :attr:`Rule.scalars`, in that order.
            uniform: Source of uniform random numbers, by node.
        """
        weights = tensors[WEIGHT]
        lists = [tensors[name] for name in self._layout.names]
        rows = [self._row(row) for row in zip(*lists, strict=True)]
        masks = [self._masks(node, rows, uniform) for node in self._layout.masks]
        pointers = [
            [each.data_ptr() for each in row] + [mask[place].data_ptr() for mask in masks]
            for place, row in enumerate(rows)
        ]
        self._run(tuple(weight.numel() for weight in weights), pointers, scalars)
        for row, given in zip(rows, zip(*lists, strict=True), strict=True):
            for name, mine, theirs in zip(self._layout.names, row, given, strict=True):
                if name == GRADIENT:
                    continue
                if mine is not theirs:
                    theirs.copy_(mine)
                else:
                    # Autograd must hear of it, as of any change in place.
                    torch.autograd.graph.increment_version(theirs)

    def _run(
        self,
        sizes: tuple[int, ...],
        pointers: list[list[int]],
        scalars: Sequence[float],
    ) -> None:
        plan = _plan(sizes, self._layout.phases)
        data = np.array(pointers, dtype=np.uintp)
        numbers = np.array(scalars, dtype=np.float64)
        partial = np.empty(plan.blocks * self._layout.sums if self._layout.sums else 0)
        done = np.zeros(len(sizes), dtype=np.int64)
        following = np.zeros(1, dtype=np.int64)
        arguments = (
            plan.tasks,
            len(plan.tasks),
            plan.tensors,
            data,
            numbers,
            partial,
            done,
            following,
        )
        raw = [each.ctypes.data if isinstance(each, np.ndarray) else each for each in arguments]
        together(lambda: self._step(*raw), most=1 if sum(sizes) <= ALONE else len(plan.tasks))

    def _row(self, row: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The tensors of one weight, or copies if their elements are not in the same order."""
        if all(each.is_contiguous() for each in row) and self._plain(row):
            return row
        first = row[0]
        if (
            all(each.stride() == first.stride() for each in row)
            and torch.ops.aten.is_non_overlapping_and_dense(first)
            and self._plain(row)
        ):
            return row
        types = [
            self._dtype if name in (GRADIENT, WEIGHT) else self._computed
            for name in self._layout.names
        ]
        return tuple(
            each.to(dtype).contiguous().resolve_neg()
            for each, dtype in zip(row, types, strict=True)
        )

    def _plain(self, row: tuple[Tensor, ...]) -> bool:
        return not row[0].is_neg() and all(
            each.dtype == (self._dtype if place < 2 else self._computed)
            for place, each in enumerate(row)
        )

    def _masks(
        self, node: str, rows: list[tuple[Tensor, ...]], uniform: ListUniform
    ) -> list[Tensor]:
        """Uniform numbers in the order of the weights' elements in memory."""
        like = [torch.empty((), dtype=self._computed).expand(row[1].shape) for row in rows]
        drawn = uniform(int(node), like)
        return [
            mask
            if mask.stride() == row[1].stride() or row[1].is_contiguous()
            else torch.empty_like(row[1], dtype=self._computed).copy_(mask)
            for mask, row in zip(drawn, rows, strict=True)
        ]


@dataclass(frozen=True)
class _Plan:
    """Who computes what in which order; see the end of :mod:`evoptim.kernels.source`."""

    tasks: Integers
    """(tasks, 5): tensor, first element, elements, phase, block."""
    tensors: Integers
    """(tensors, 2): first block, number of blocks."""
    blocks: int


@functools.lru_cache(maxsize=64)
def _plan(sizes: tuple[int, ...], phases: int) -> _Plan:
    counts = [-(-size // BLOCK) for size in sizes]
    firsts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    tasks: list[tuple[int, int, int, int, int]] = []
    for group in _groups(sizes):
        for phase in range(phases):
            for tensor in group:
                tasks.extend(
                    (
                        tensor,
                        block * BLOCK,
                        min(BLOCK, sizes[tensor] - block * BLOCK),
                        phase,
                        int(firsts[tensor]) + block,
                    )
                    for block in range(counts[tensor])
                )
    return _Plan(
        np.array(tasks, dtype=np.int64).reshape(-1, 5),
        np.stack([firsts[:-1], np.array(counts, dtype=np.int64)], axis=1),
        int(firsts[-1]),
    )


def _groups(sizes: tuple[int, ...]) -> list[list[int]]:
    """Neighbouring tensors, as many as have :data:`TOGETHER` elements."""
    groups: list[list[int]] = [[]]
    elements = 0
    for tensor, size in enumerate(sizes):
        if groups[-1] and elements + size > TOGETHER:
            groups.append([])
            elements = 0
        groups[-1].append(tensor)
        elements += size
    return groups
