"""Statistics over seeds: against scipy, and what must hold of them whatever the numbers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evoptim.analysis import (
    holm,
    least_p_value,
    mean_interval,
    paired_difference,
    rank_ranges,
    standard_error,
)

accuracies = st.integers(0, 1000).map(lambda each: each / 1000)
several = st.integers(2, 12).flatmap(lambda n: st.lists(accuracies, min_size=n, max_size=n))
pairs = st.integers(2, 12).flatmap(
    lambda n: st.tuples(*[st.lists(accuracies, min_size=n, max_size=n)] * 2)
)
p_values = st.lists(st.none() | st.floats(0.0, 1.0), max_size=12)


def test_the_standard_error_is_the_binomial_one():
    assert standard_error(0.9, 400) == pytest.approx(0.015)  # sqrt(0.09 / 400)


@given(several)
def test_the_interval_of_a_mean_is_students(values):
    found = mean_interval(values)
    if max(values) == min(values):
        assert found is None
        return
    n = len(values)
    wanted = stats.t.interval(0.95, n - 1, loc=sum(values) / n, scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx(wanted, abs=1e-12)
    assert found.half == pytest.approx((wanted[1] - wanted[0]) / 2)


def test_a_single_seed_has_no_interval():
    assert mean_interval([0.9]) is None
    assert mean_interval([]) is None


@given(pairs)
def test_the_paired_test_is_scipys(both):
    ours, theirs = both
    found = paired_difference(ours, theirs)
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    assert found.mean == pytest.approx(sum(differences) / len(differences), abs=1e-12)
    if max(differences) - min(differences) < 1e-9:
        assert (found.interval, found.effect, found.p_value) == (None, None, None)
        return
    wanted = stats.ttest_rel(ours, theirs)
    assert found.p_value == pytest.approx(wanted.pvalue, abs=1e-9)
    low, high = wanted.confidence_interval(0.95)
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high), abs=1e-9)
    # An interval without 0 and a p below 0.05 are the same statement.
    if abs(found.p_value - 0.05) > 1e-6:
        assert (low > 0 or high < 0) == (found.p_value < 0.05)


@given(pairs)
def test_who_is_compared_with_whom_changes_the_sign_alone(both):
    one, other = paired_difference(*both), paired_difference(*both[::-1])
    assert one.mean == pytest.approx(-other.mean, abs=1e-12)
    assert one.p_value == (None if other.p_value is None else pytest.approx(other.p_value))
    assert one.effect == (None if other.effect is None else pytest.approx(-other.effect))


def test_the_effect_is_the_difference_over_the_pooled_deviation():
    # Variances 1e-4 and 4e-4, difference 0.03.
    found = paired_difference((0.90, 0.91, 0.92), (0.86, 0.88, 0.90))
    assert found.effect == pytest.approx(0.03 / math.sqrt(2.5e-4))


def test_equal_differences_prove_nothing():
    # As decimals they are equal; as floating-point numbers they differ by rounding.
    found = paired_difference((0.91, 0.83, 0.72), (0.90, 0.82, 0.71))
    assert found.mean == pytest.approx(0.01)
    assert found.p_value is None


def test_holms_correction_by_hand():
    # 4 x 0.01; 3 x 0.02 = 0.06; 2 x 0.03 would be less than that; then 0.5.
    assert holm([0.03, 0.01, None, 0.5, 0.02]) == pytest.approx([0.06, 0.04, None, 0.5, 0.06])
    assert holm([]) == []
    assert holm([None]) == [None]


@given(p_values)
def test_holms_correction_keeps_the_order_and_only_raises(found):
    corrected = holm(found)
    assert [each is None for each in corrected] == [each is None for each in found]
    known = [(p, q) for p, q in zip(found, corrected, strict=True) if p is not None]
    assert all(p <= q <= min(1.0, p * len(known)) + 1e-12 for p, q in known)
    assert all(q <= s for p, q in known for r, s in known if p <= r)


def test_optimizers_within_noise_of_each_other_share_their_places():
    best = (0.950, 0.961, 0.955, 0.958, 0.949)
    level = (0.949, 0.962, 0.957, 0.954, 0.951)
    worst = (0.800, 0.812, 0.806, 0.807, 0.802)
    assert rank_ranges([best, level, worst]) == [(1, 2), (1, 2), (3, 3)]


def test_one_seed_leaves_every_place_open():
    assert rank_ranges([(0.9,), (0.5,), (0.1,)]) == [(1, 3)] * 3
    assert rank_ranges([]) == []
    assert rank_ranges([(0.9,)]) == [(1, 1)]


@given(
    st.tuples(st.integers(1, 6), st.integers(1, 6)).flatmap(
        lambda size: st.lists(
            st.lists(accuracies, min_size=size[1], max_size=size[1]),
            min_size=size[0],
            max_size=size[0],
        )
    )
)
def test_every_optimizer_may_have_the_place_of_its_mean(by_seed):
    ranges = rank_ranges(by_seed)
    means = [sum(each) / len(each) for each in by_seed]
    for mean, (first, last) in zip(means, ranges, strict=True):
        assert 1 <= first <= last <= len(by_seed)
        assert first <= 1 + sum(each > mean + 1e-12 for each in means)
        assert (
            last
            >= sum(each >= mean - 1e-12 for each in means)
            - sum(abs(each - mean) <= 1e-12 for each in means)
            + 1
        )


@pytest.mark.parametrize(("seeds", "least"), [(1, 1.0), (2, 0.5), (5, 0.0625), (10, 2 / 1024)])
def test_a_test_of_signs_alone_has_a_least_p(seeds, least):
    # scipy's exact test, where one optimizer is ahead under every seed.
    assert least_p_value(seeds) == pytest.approx(least)
    if seeds > 1:
        ahead = [0.01 * (seed + 1) for seed in range(seeds)]
        exact = stats.permutation_test(
            (ahead, [0.0] * seeds), lambda a, b: (a - b).mean(), permutation_type="samples"
        )
        assert exact.pvalue == pytest.approx(least)
