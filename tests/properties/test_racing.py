"""What holds of every race, whatever the accuracies of the rates."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from evoptim.config import Racing, ScheduleSpec, Sweep
from evoptim.records import Probe
from evoptim.training.probe import recorded
from evoptim.training.sweep import Swept, choose_rate

EPOCHS = 4
GROUPS = ((10.0, 1e-2, 1e-5), (1.0, 0.1, 1e-3, 1e-4))
RATES = tuple(rate for group in GROUPS for rate in group)


def spec(racing: Racing | None, give_up: float = 0.25, minimum: float = 0.4) -> Sweep:
    return Sweep(
        rates=GROUPS,
        epochs=EPOCHS,
        steps_per_epoch=1,
        schedule=ScheduleSpec(total_steps=EPOCHS),
        give_up_epoch=3,
        give_up_accuracy=give_up,
        minimum_accuracy=minimum,
        racing=racing,
    )


# Of twenty images, so that ties and hits of the bars are frequent.
ACCURACIES = st.integers(0, 20).map(lambda hits: hits / 20)


@st.composite
def curves(draw: st.DrawFn) -> tuple[Probe, ...]:
    """What each rate would do if nothing but itself ended it."""
    found = []
    for rate in RATES:
        epochs = draw(st.sampled_from((EPOCHS, EPOCHS, EPOCHS, 0, 1, 2, 3)))
        accuracies = tuple(draw(st.lists(ACCURACIES, min_size=epochs, max_size=epochs)))
        stopped = "completed" if epochs == EPOCHS else "non-finite"
        found.append(Probe.model_validate(
            {"rate": rate, "accuracies": accuracies, "stopped": stopped}
        ))  # fmt: skip
    return tuple(found)


BARS = st.tuples(ACCURACIES, ACCURACIES)
MARGINS = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=EPOCHS).map(
    lambda margins: Racing(margins=tuple(margins))
)


def both(
    rates: tuple[Probe, ...], bars: tuple[float, float], racing: Racing
) -> tuple[Swept, Swept]:
    start = recorded(rates)
    return choose_rate(spec(None, *bars), start), choose_rate(spec(racing, *bars), start)


def epochs(swept: Swept) -> int:
    return sum(len(probe.accuracies) for probe in swept.probes)


@given(curves(), BARS, MARGINS)
def test_a_race_runs_a_part_of_the_sweep(
    rates: tuple[Probe, ...], bars: tuple[float, float], racing: Racing
) -> None:
    full, raced = both(rates, bars, racing)
    assert epochs(raced) <= epochs(full)
    ran = {probe.rate: probe for probe in full.probes}
    assert [probe.rate for probe in raced.probes] == [probe.rate for probe in full.probes]
    for probe in raced.probes:
        whole = ran[probe.rate]
        assert probe.accuracies == whole.accuracies[: len(probe.accuracies)]
        if probe.stopped not in ("outpaced", "cut-short"):
            assert probe == whole
        else:
            assert len(probe.accuracies) < EPOCHS


@given(curves(), BARS, MARGINS)
def test_a_candidate_fails_in_a_race_if_and_only_if_it_fails_in_the_sweep(
    rates: tuple[Probe, ...], bars: tuple[float, float], racing: Racing
) -> None:
    full, raced = both(rates, bars, racing)
    assert raced.outcome == full.outcome
    if full.rate is None:
        assert raced == full


@given(curves(), BARS, st.sampled_from(((1.0,), (1.0, 1.0, 1.0))))
def test_margins_of_one_choose_the_rate_of_the_sweep(
    rates: tuple[Probe, ...], bars: tuple[float, float], margins: tuple[float, ...]
) -> None:
    full, raced = both(rates, bars, Racing(margins=margins))
    assert raced.rate == full.rate
    assert all(probe.stopped != "outpaced" for probe in raced.probes)


@given(curves(), BARS, MARGINS)
# A leader that diverges leaves the others as they are: none of them is behind it.
@example(
    tuple(
        Probe(rate=rate, accuracies=(0.9,), stopped="non-finite")
        if rate == 10.0
        else Probe(rate=rate, accuracies=(0.3, 0.5, 0.7, 0.95), stopped="completed")
        for rate in RATES
    ),
    (0.25, 0.4),
    Racing(margins=(0.5,)),
)
def test_who_is_dropped_lies_behind_and_the_leader_never_does(
    rates: tuple[Probe, ...], bars: tuple[float, float], racing: Racing
) -> None:
    _, raced = both(rates, bars, racing)
    for probe in raced.probes:
        if probe.stopped == "outpaced":
            so_far = len(probe.accuracies)
            margin = racing.margins[min(so_far, len(racing.margins)) - 1]
            leader = max(
                max(each.accuracies[:so_far])
                for each in raced.probes
                if len(each.accuracies) >= so_far
            )
            assert probe.score < leader - margin
            assert max(each.score for each in raced.probes) >= max(bars)
    if raced.rate is not None:
        winner = next(probe for probe in raced.probes if probe.rate == raced.rate)
        assert winner.stopped != "outpaced"
        assert winner == max(raced.probes, key=lambda probe: probe.score)


@given(curves(), BARS, MARGINS)
def test_the_winner_alone_may_be_cut_short_and_only_when_it_cannot_lose(
    rates: tuple[Probe, ...], bars: tuple[float, float], racing: Racing
) -> None:
    _, raced = both(rates, bars, racing)
    cut = [probe for probe in raced.probes if probe.stopped == "cut-short"]
    if cut:
        assert [probe.rate for probe in cut] == [raced.rate]
        assert all(
            probe.stopped in ("outpaced", "completed", "non-finite", "below-bar")
            for probe in raced.probes
            if probe is not cut[0]
        )
