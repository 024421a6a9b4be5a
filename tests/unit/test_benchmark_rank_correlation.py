"""The statistics behind benchmarks/proxy_validity.py."""

from __future__ import annotations

import numpy as np
import pytest
from rank_correlation import (
    advantage,
    bootstrap,
    ceiling,
    mean_rank,
    pooled_deviation,
    ranks,
    spearman,
)
from scipy.stats import spearmanr


def test_ranks_go_from_worst_to_best_and_what_failed_comes_last() -> None:
    assert ranks([0.5, None, 0.9, 0.7]).tolist() == [0.375, 0.125, 0.875, 0.625]


def test_equal_scores_share_their_rank() -> None:
    assert ranks([1.0, 2.0, 2.0, 3.0]).tolist() == [0.125, 0.5, 0.5, 0.875]
    assert ranks([None, None]).tolist() == [0.5, 0.5]


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="not a number"):
        ranks([0.5, float("nan")])


def test_the_mean_of_ranks_weighs_measurements_alike_whatever_their_scale() -> None:
    both = mean_rank([0.1, 0.2, 0.3], [3_000.0, 1_000.0, 2_000.0])
    assert both == pytest.approx([(1 + 5) / 12, (3 + 1) / 12, (5 + 3) / 12])


def test_spearman_is_that_of_scipy_with_ties() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.integers(0, 5, 40).astype(float), rng.normal(size=40)
    assert spearman(x, y) == pytest.approx(spearmanr(x, y).statistic)
    assert spearman(x, -y) == pytest.approx(-spearman(x, y))


def test_what_ranks_nothing_has_no_correlation() -> None:
    assert spearman(np.ones(5), np.arange(5.0)) == 0.0


def test_the_interval_is_about_that_of_fisher_and_holds_the_value() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    estimate = bootstrap(x, 0.5 * x + rng.normal(size=200))
    assert estimate.low < estimate.value < estimate.high
    half_of_fisher = 1.96 * (1 - estimate.value**2) / np.sqrt(200 - 3)
    assert (estimate.high - estimate.low) / 2 == pytest.approx(half_of_fisher, rel=0.25)


def test_intervals_are_the_same_at_every_call() -> None:
    x, y = np.random.default_rng(1).normal(size=(2, 50))
    assert bootstrap(x, y) == bootstrap(x, y)


def test_a_better_ranking_has_an_advantage_and_an_equal_one_has_none() -> None:
    rng = np.random.default_rng(2)
    truth = rng.normal(size=150)
    good, poor = truth + rng.normal(0, 0.3, 150), truth + rng.normal(0, 3.0, 150)
    gain = advantage(good, poor, truth, count=300)
    assert gain.low > 0.0
    assert gain.value == pytest.approx(spearman(good, truth) - spearman(poor, truth))
    same = advantage(good, good, truth, count=50)
    assert (same.low, same.value, same.high) == (0.0, 0.0, 0.0)


def test_noise_is_estimated_within_groups() -> None:
    assert pooled_deviation([[1.0, 3.0], [10.0, 12.0], [5.0]]) == pytest.approx(np.sqrt(2.0))
    with pytest.raises(ValueError, match="twice"):
        pooled_deviation([[1.0], [2.0]])


def test_the_ceiling_is_that_of_the_simulated_noise() -> None:
    rng = np.random.default_rng(4)
    true = rng.normal(0.8, 0.02, 2_000)
    first, second = true + rng.normal(0.0, 0.01, size=(2, 2_000))
    most = ceiling(first, 0.01, count=20)
    assert most.perfect == pytest.approx(spearman(true, first), abs=0.02)
    assert most.repeated == pytest.approx(spearman(first, second), abs=0.03)
    assert most.repeated < most.perfect


def test_without_noise_a_perfect_ranking_is_perfect() -> None:
    most = ceiling(np.linspace(0.0, 1.0, 50), 0.0, count=2)
    assert most.perfect == pytest.approx(1.0)
    assert most.repeated == pytest.approx(1.0)
