"""What holds of every tuning, whatever its rates are worth."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from evoptim.config import Tuning
from evoptim.records import TunedRate
from evoptim.training.tuning import climb

SWEPT = 0.1
REACH = 25
# Of ten images, so that ties are frequent; None leaves no fitness.
SCORES = st.none() | st.integers(0, 10).map(lambda hits: hits / 10)
LANDSCAPES = st.lists(SCORES, min_size=2 * REACH + 1, max_size=2 * REACH + 1)


def grid(spec: Tuning) -> list[float]:
    """Rates on both sides of the sweep's choice, from low to high, written down independently."""
    return [
        SWEPT if n == 0 else float(f"{SWEPT * 10 ** (n / spec.per_decade):.3g}")
        for n in range(-REACH, REACH + 1)
    ]


def tried(spec: Tuning, landscape: list[float | None]) -> tuple[list[int], list[float]]:
    """Places on the grid in the order in which they were tried, and the score of each there is."""
    rates = grid(spec)
    scores = [-1.0 if each is None else each for each in landscape]

    def try_rate(rate: float) -> TunedRate:
        return TunedRate(rate=rate, accuracies=(landscape[rates.index(rate)],), steps=1)

    return [rates.index(each.rate) for each in climb(spec, SWEPT, try_rate)], scores


specs = st.builds(Tuning, per_decade=st.integers(1, 20), rates=st.integers(1, 20))


@given(specs, LANDSCAPES)
def test_it_tries_a_stretch_of_the_grid_from_the_sweeps_choice_each_rate_once(
    spec: Tuning, landscape: list[float | None]
) -> None:
    places, _ = tried(spec, landscape)
    assert places[0] == REACH
    assert len(places) <= spec.rates
    assert sorted(places) == list(range(min(places), max(places) + 1))


@given(specs, LANDSCAPES)
def test_it_ends_early_only_where_both_neighbours_of_the_best_are_no_better(
    spec: Tuning, landscape: list[float | None]
) -> None:
    places, scores = tried(spec, landscape)
    best = max(places, key=lambda place: scores[place])
    if len(places) < spec.rates:
        assert {best - 1, best + 1} <= {*places}


@given(specs, st.integers(0, 2 * REACH))
def test_where_there_is_one_peak_it_is_found_if_it_is_near_enough(spec: Tuning, peak: int) -> None:
    places, _ = tried(spec, [1.0 - abs(place - peak) / 100 for place in range(2 * REACH + 1)])
    away = abs(peak - REACH)
    # The wrong way costs one rate, and the far side of the peak none.
    assert (peak in places) or away + 2 > spec.rates


@given(specs, LANDSCAPES)
def test_the_best_is_no_worse_than_the_sweeps_choice(
    spec: Tuning, landscape: list[float | None]
) -> None:
    places, scores = tried(spec, landscape)
    assert max(scores[place] for place in places) >= scores[places[0]]
