"""Which images train, validate and test: a pure function of labels, sizes and a seed.

Folders and zips list their images class by class. Training never shuffles (as in the paper), so
the order is drawn here, once. The draw sorts by a hash of each image's index: unlike the streams
of a random generator, it cannot change with the version of a library.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from evoptim.config import TaskSpec
from evoptim.errors import InputError

TEST_SHARE = 0.2
VALIDATION_SHARE = 0.1


@dataclass(frozen=True)
class Parts:
    """Indices of a source's images, by the part that the source itself puts them in."""

    train: tuple[int, ...]
    validation: tuple[int, ...] = ()
    """Empty if the source has no part of its own for it; then it is held out of ``train``."""
    test: tuple[int, ...] = ()
    """Likewise."""

    @property
    def indices(self) -> tuple[int, ...]:
        """All of them, part after part."""
        return (*self.train, *self.validation, *self.test)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """How many there are in each part."""
        return len(self.train), len(self.validation), len(self.test)


def stratified_partition(labels: Sequence[int], parts: Parts, spec: TaskSpec) -> Parts:
    """Hold out test and validation images, each class in proportion, and shuffle every part.

    Args:
        labels: label of every image of the source.
        parts: the source's own parts.
        spec: sizes and seed. By default a fifth of the images tests where the source has no test
            part, and a tenth of the others validates.

    Raises:
        InputError: the sizes cannot be met.
    """
    seed = spec.split_seed
    pool = _stratified(parts.train, labels, seed)
    test_count = spec.test or _share(TEST_SHARE, len(pool))
    if parts.test:
        test = _take(_stratified(parts.test, labels, seed), spec.test, "test")
    else:
        test, pool = pool[:test_count], pool[test_count:]
    validation_count = spec.validation or _share(VALIDATION_SHARE, len(pool))
    if parts.validation:
        validation = _take(
            _stratified(parts.validation, labels, seed), spec.validation, "validation"
        )
    else:
        validation, pool = pool[:validation_count], pool[validation_count:]
    train_count = spec.train or max(1, len(pool))
    if train_count > len(pool) or not test or not validation:
        held_out = [] if parts.validation else [f"{validation_count} validation"]
        held_out += [] if parts.test else [f"{test_count} test"]
        raise too_few([f"{train_count} training", *held_out], len(parts.train))
    return Parts(
        train=_shuffled(pool[:train_count], seed, "order"),
        validation=_shuffled(validation, seed, "order"),
        test=_shuffled(test, seed, "order"),
    )


def ordered_partition(train_size: int, test_size: int, spec: TaskSpec) -> Parts:
    """Keep the source's order: train on the first images and validate on the last ones.

    For a source that is shuffled already. It is the paper's split of CIFAR-10: 45,000 + 5,000.
    Test images have the indices from ``train_size`` on.

    Raises:
        InputError: the sizes cannot be met.
    """
    validation = spec.validation or _share(VALIDATION_SHARE, train_size)
    train = spec.train or max(1, train_size - validation)
    if train + validation > train_size:
        raise too_few([f"{train} training", f"{validation} validation"], train_size)
    test = _take(tuple(range(train_size, train_size + test_size)), spec.test, "test")
    return Parts(
        train=tuple(range(train)),
        validation=tuple(range(train_size - validation, train_size)),
        test=test,
    )


def too_few(wanted: Sequence[str], available: int) -> InputError:
    """The error of sizes that cannot be met."""
    return InputError(
        f"the split asks for {' + '.join(wanted)} images, but only {available} are there; lower "
        "task.train, task.validation or task.test, or add images"
    )


def _share(share: float, count: int) -> int:
    return max(1, round(share * count))


def _take(indices: tuple[int, ...], count: int | None, part: str) -> tuple[int, ...]:
    if count is not None and count > len(indices):
        raise InputError(
            f"task.{part} asks for {count} images, but the {part} part has only {len(indices)}; "
            "lower it, or add images"
        )
    return indices[:count]


def _shuffled(
    indices: Sequence[int], seed: int, purpose: Literal["choose", "order"]
) -> tuple[int, ...]:
    # Two purposes, two draws: the images that were chosen last must not also come last.
    def rank(index: int) -> bytes:
        return hashlib.sha256(f"{purpose}/{seed}/{index}".encode()).digest()

    return tuple(sorted(indices, key=rank))


def _stratified(indices: Sequence[int], labels: Sequence[int], seed: int) -> tuple[int, ...]:
    """An order of which every slice holds each class in proportion.

    The k-th of a class's n images (in random order) stands at quantile (k + 1/2) / n.
    """
    sizes = Counter(labels[index] for index in indices)
    seen: Counter[int] = Counter()
    quantiles: dict[int, float] = {}
    for index in _shuffled(indices, seed, "choose"):
        label = labels[index]
        quantiles[index] = (seen[label] + 0.5) / sizes[label]
        seen[label] += 1
    # Python's sort is stable: images of equal quantile keep their random order.
    return tuple(sorted(quantiles, key=quantiles.__getitem__))
