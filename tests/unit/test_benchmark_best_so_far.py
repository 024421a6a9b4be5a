"""The statistics behind benchmarks/search_efficiency.py."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from best_so_far import Found, after_finals, incumbents, mean_interval, share_needed, speed

SHARES = [0.25, 0.5, 0.75, 1.0]


def test_a_search_holds_the_best_that_it_has_paid_for() -> None:
    search = [
        Found("a", 10, (-0.5, 1.0)),
        Found("failed", 5, None),
        Found("b", 10, (-0.9, 1.0)),
        Found("c", 10, (-0.7, 1.0)),
    ]
    assert incumbents(search, [9, 10, 24, 25, 35, 100]) == [None, "a", "a", "b", "b", "b"]


def test_of_equal_ones_the_first_stays_and_loss_decides_between_equal_accuracies() -> None:
    search = [Found("a", 1, (-0.5, 1.0)), Found("b", 1, (-0.5, 1.0)), Found("c", 1, (-0.5, 0.9))]
    assert incumbents(search, [1, 2, 3]) == ["a", "a", "c"]


def test_a_search_that_found_nothing_holds_nothing() -> None:
    assert incumbents([Found("x", 5, None)], [1, 10]) == [None, None]
    assert incumbents([], [1]) == [None]


@pytest.mark.parametrize(
    ("bar", "share"),
    [(0.1, 0.25), (0.5, 0.5), (0.65, 0.625), (0.9, 1.0), (0.91, inf)],
)
def test_the_share_needed_lies_between_checkpoints(bar: float, share: float) -> None:
    curve = np.array([0.2, 0.5, 0.8, 0.9])
    assert share_needed(curve, bar, SHARES) == pytest.approx(share)


def test_what_was_reached_once_counts_even_if_luck_takes_it_back() -> None:
    assert share_needed(np.array([0.2, 0.9, 0.7, 0.8]), 0.9, SHARES) == 0.5


def test_an_arm_that_is_twice_as_fast_needs_half_of_the_steps() -> None:
    level = np.random.default_rng(0).normal(0.5, 0.05, size=(10, 1))
    slow = level + np.array([0.1, 0.2, 0.3, 0.4])
    fast = level + np.array([0.2, 0.401, 0.45, 0.5])
    found = speed(fast, slow, SHARES, count=200)
    # Seeds are resampled together, so that a level which both share makes no interval.
    assert (found.share, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5), abs=0.002)
    assert found.chance_of_half == 1.0
    slower = speed(slow, fast, SHARES, count=200)
    assert slower.share == slower.low == inf
    assert slower.chance_of_half == 0.0


def test_arms_of_different_seeds_are_not_compared() -> None:
    with pytest.raises(ValueError, match="differ"):
        speed(np.zeros((3, 4)), np.zeros((4, 4)), SHARES)


def test_the_mean_has_the_interval_of_its_seeds() -> None:
    values = np.random.default_rng(0).normal(1.0, 0.1, 40)
    found = mean_interval(values)
    assert found.value == pytest.approx(values.mean())
    standard_error = values.std(ddof=1) / np.sqrt(40)
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * standard_error, rel=0.15)


class TestFinals:
    search = (
        Found("a", 10, (-0.5, 0.0)),
        Found("b", 10, (-0.6, 0.0)),
        Found("bad", 10, None),
        Found("lucky", 10, (-0.9, 0.0)),
    )
    met = {"a": (4.0, 0.5), "b": (4.0, 0.6), "lucky": (4.0, 0.4)}

    def test_the_best_of_the_finals_is_named_not_the_best_of_the_search(self) -> None:
        assert after_finals(self.search, [48], 2, self.met.__getitem__) == ["b"]
        assert incumbents(self.search, [48]) == ["lucky"]

    def test_finals_are_paid_and_end_the_search_earlier(self) -> None:
        # 40 for the search and 8 for the finals are one too many: it ends after 30.
        met = {**self.met, "lucky": (4.0, 0.9)}
        assert after_finals(self.search, [47, 48], 2, met.__getitem__) == ["b", "lucky"]

    def test_before_they_can_be_paid_the_search_names_its_own(self) -> None:
        costly = {name: (40.0, fitness) for name, (_, fitness) in self.met.items()}
        assert after_finals(self.search, [5, 10, 20], 2, costly.__getitem__) == [None, "a", "b"]

    def test_who_fails_there_is_not_named(self) -> None:
        met = {**self.met, "b": (4.0, None)}
        assert after_finals(self.search, [48], 2, met.__getitem__) == ["lucky"]
