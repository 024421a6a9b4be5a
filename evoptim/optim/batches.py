"""Cuts lists of tensors into batches that fit a cache.

A foreach function passes over all of its tensors before the next one starts: on lists of a model's
size each pass goes to main memory and each temporary is as large as the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from evoptim.update.rule import WEIGHT

CPU_ELEMENTS = 2**17
"""Half a megabyte a float32 list: some six of them, over two cores, stay in the second cache."""
DEVICE_ELEMENTS = 2**24
"""Enough to keep an accelerator busy, with temporaries of 64 MiB each."""


@dataclass(frozen=True)
class Batch:
    """Lists of equal length, by the name of what they hold."""

    tensors: Mapping[str, list[Tensor]]
    places: Sequence[int]
    """Where each tensor stands among all of the optimizer's."""


def batches(batch: Batch, split: bool) -> Iterator[Batch]:
    """Cut ``batch`` into pieces of at most about ``CPU_ELEMENTS`` or ``DEVICE_ELEMENTS`` elements.

    Args:
        batch: All tensors of one device.
        split: Whether a tensor may be computed in parts.
    """
    weights = batch.tensors[WEIGHT]
    limit = CPU_ELEMENTS if weights[0].device.type == "cpu" else DEVICE_ELEMENTS
    gathered: list[int] = []
    elements = 0
    for index, weight in enumerate(weights):
        size = weight.numel()
        if split and size > limit and _flat(batch, index):
            yield from _parts(batch, index, limit)
            continue
        if gathered and elements + size > limit:
            yield _select(batch, gathered)
            gathered, elements = [], 0
        gathered.append(index)
        elements += size
    if gathered:
        yield _select(batch, gathered)


def one_by_one(batch: Batch) -> Iterator[Batch]:
    """Every tensor as a batch of its own."""
    for index in range(len(batch.places)):
        yield _select(batch, [index])


def _select(batch: Batch, indices: Sequence[int]) -> Batch:
    if len(indices) == len(batch.places):
        return batch
    return Batch(
        {name: [each[index] for index in indices] for name, each in batch.tensors.items()},
        [batch.places[index] for index in indices],
    )


def _flat(batch: Batch, index: int) -> bool:
    return all(each[index].is_contiguous() for each in batch.tensors.values())


def _parts(batch: Batch, index: int, limit: int) -> Iterator[Batch]:
    split = {name: torch.split(each[index].view(-1), limit) for name, each in batch.tensors.items()}
    for number in range(len(split[WEIGHT])):
        yield Batch({name: [parts[number]] for name, parts in split.items()}, [batch.places[index]])
