"""Which images train, validate and test."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evoptim.config import TaskSpec
from evoptim.errors import InputError
from evoptim.tasks.partition import Parts, ordered_partition, stratified_partition

labels_of_a_source = st.lists(st.integers(0, 3), min_size=30, max_size=120)


def everything(labels: list[int]) -> Parts:
    return Parts(train=tuple(range(len(labels))))


@given(labels_of_a_source, st.integers(0, 2**31 - 1))
def test_parts_are_disjoint_and_cover_everything(labels: list[int], seed: int) -> None:
    parts = stratified_partition(labels, everything(labels), TaskSpec(split_seed=seed))
    assert sorted(parts.indices) == list(range(len(labels)))


@given(labels_of_a_source, st.integers(1, 10), st.integers(1, 10), st.integers(1, 10))
def test_sizes_are_those_asked_for(labels: list[int], train: int, val: int, test: int) -> None:
    spec = TaskSpec(train=train, validation=val, test=test)
    assert stratified_partition(labels, everything(labels), spec).sizes == (train, val, test)


@given(labels_of_a_source, st.integers(0, 2**31 - 1))
def test_every_part_holds_each_class_in_proportion(labels: list[int], seed: int) -> None:
    parts = stratified_partition(labels, everything(labels), TaskSpec(split_seed=seed))
    for part in (parts.train, parts.validation, parts.test):
        found = Counter(labels[index] for index in part)
        for label, count in Counter(labels).items():
            # A slice of the stratified order cuts each class at two places, each off by < 1.
            assert abs(found[label] - count * len(part) / len(labels)) < 2


def test_equal_classes_are_split_equally() -> None:
    labels = [label for label in range(10) for _ in range(50)]
    parts = stratified_partition(labels, everything(labels), TaskSpec(validation=100, test=100))
    for part, each in ((parts.train, 30), (parts.validation, 10), (parts.test, 10)):
        assert Counter(labels[index] for index in part) == dict.fromkeys(range(10), each)


def test_the_seed_decides_the_split() -> None:
    labels = [0, 1] * 100
    first, again, other = (
        stratified_partition(labels, everything(labels), TaskSpec(split_seed=seed))
        for seed in (1, 1, 2)
    )
    assert first == again
    assert set(first.test) != set(other.test)


def test_the_split_never_changes_between_versions() -> None:
    """Golden: the order is defined by SHA-256, so any implementation finds these indices."""
    parts = stratified_partition([0, 1] * 6, everything([0] * 12), TaskSpec())
    assert parts == Parts(train=(9, 7, 0, 6, 8, 3, 2, 5, 1), validation=(4,), test=(11, 10))


def test_images_in_order_of_class_are_trained_on_in_random_order() -> None:
    labels = [label for label in range(10) for _ in range(100)]
    train = stratified_partition(labels, everything(labels), TaskSpec()).train
    # Of 720 neighbours a tenth share their class by chance: 72, standard deviation 8.
    equal = sum(labels[a] == labels[b] for a, b in pairwise(train))
    assert 72 - 4 * 8 < equal < 72 + 4 * 8
    # Nor does the order depend on which images were chosen last: each tenth has every class.
    assert all(len({labels[index] for index in train[at : at + 72]}) == 10 for at in (0, 324, 648))


def test_a_source_with_parts_of_its_own_keeps_them() -> None:
    parts = stratified_partition(
        [0, 1] * 20,
        Parts(train=tuple(range(20)), validation=tuple(range(20, 30)), test=tuple(range(30, 40))),
        TaskSpec(validation=4),
    )
    assert set(parts.train) == set(range(20))
    assert set(parts.validation) <= set(range(20, 30))
    assert set(parts.test) == set(range(30, 40))
    assert parts.sizes == (20, 4, 10)


def test_cifar_keeps_its_order_as_in_the_paper() -> None:
    parts = ordered_partition(50_000, 10_000, TaskSpec(name="cifar10"))
    assert parts.train == tuple(range(45_000))
    assert parts.validation == tuple(range(45_000, 50_000))
    assert parts.test == tuple(range(50_000, 60_000))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            TaskSpec(train=50, validation=30, test=40),
            "50 training + 30 validation + 40 test .* 100",
        ),
        (TaskSpec(train=100), "100 training + 8 validation + 20 test images, but only 100"),
        (TaskSpec(validation=100), "asks for 1 training + 100 validation"),
    ],
)
def test_sizes_that_cannot_be_met_are_named(spec: TaskSpec, message: str) -> None:
    with pytest.raises(InputError, match=message.replace("+", r"\+")):
        stratified_partition([0, 1] * 50, Parts(train=tuple(range(100))), spec)
    with pytest.raises(InputError, match=r"task.test asks for 5 images, but .* has only 3"):
        ordered_partition(100, 3, TaskSpec(test=5))
    with pytest.raises(InputError, match="90 training \\+ 20 validation images, but only 100"):
        ordered_partition(100, 3, TaskSpec(train=90, validation=20))


def test_one_image_is_too_few() -> None:
    with pytest.raises(InputError, match="but only 1 are there"):
        stratified_partition([0], Parts(train=(0,)), TaskSpec())
