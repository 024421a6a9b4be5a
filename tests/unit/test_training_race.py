"""Racing: real probes side by side, and how a race ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import tiny_training as tiny

from evoptim.config import Racing, ScheduleSpec, Sweep
from evoptim.config.reading import read_config
from evoptim.errors import InputError
from evoptim.records import Outcome, Probe
from evoptim.training import evaluate
from evoptim.training.fault import CandidateError
from evoptim.training.probe import NextEpoch, recorded
from evoptim.training.sweep import Swept, choose_rate

RACING = Racing(margins=(0.1,))


def spec(*groups: Sequence[float], **changes: Any) -> Sweep:
    return tiny.sweep(
        rates=tuple(map(tuple, groups)),
        epochs=3,
        schedule=ScheduleSpec(total_steps=18),
        racing=RACING,
        **{"give_up_epoch": 3, **changes},
    )


def raced(rates: Sweep, curves: dict[float, Sequence[float]]) -> Swept:
    probes = [
        Probe(rate=rate, accuracies=tuple(values), stopped="completed")
        for rate, values in curves.items()
    ]
    return choose_rate(rates, recorded(probes))


def ends(swept: Swept) -> list[tuple[float, int, str]]:
    return [(probe.rate, len(probe.accuracies), probe.stopped) for probe in swept.probes]


def test_who_falls_behind_is_dropped_and_who_is_left_need_not_go_on() -> None:
    result = raced(
        spec((1.0, 2.0, 3.0)), {1.0: (0.5, 0.9, 0.9), 2.0: (0.45, 0.7, 0.9), 3.0: (0.39, 1.0, 1.0)}
    )
    assert ends(result) == [(1.0, 2, "cut-short"), (2.0, 2, "outpaced"), (3.0, 1, "outpaced")]
    assert result.rate == 1.0


def test_exactly_the_margin_behind_is_not_behind() -> None:
    result = raced(spec((1.0, 2.0)), {1.0: (0.5, 0.5, 0.5), 2.0: (0.4, 0.5, 0.6)})
    assert ends(result) == [(1.0, 3, "completed"), (2.0, 3, "completed")]
    assert result.rate == 2.0


def test_a_single_rate_is_tried_even_where_every_bar_is_0() -> None:
    bars = {"give_up_accuracy": 0.0, "minimum_accuracy": 0.0}
    result = raced(spec((1.0,), **bars), {1.0: (0.0, 0.2, 0.3)})
    assert ends(result) == [(1.0, 1, "cut-short")]
    assert result.rate == 1.0


def test_a_later_group_joins_when_the_bar_is_reached_and_catches_up() -> None:
    order: list[float] = []
    curves = {1.0: (0.1, 0.3, 0.35), 2.0: (0.2, 0.2, 0.2), 3.0: (0.25, 0.3, 0.5)}

    def start(rate: float) -> NextEpoch:
        values = iter(curves[rate])

        def next_epoch() -> float:
            order.append(rate)
            return next(values)

        return next_epoch

    rates = spec((1.0, 2.0), (3.0,), give_up_accuracy=0.3, give_up_epoch=9)
    assert choose_rate(rates, start).rate == 3.0
    # Epoch by epoch; the third rate begins where the first has reached 0.3.
    assert order == [1.0, 2.0, 1.0, 2.0, 3.0, 3.0, 1.0, 2.0, 3.0]


def test_nobody_is_dropped_before_the_minimum_is_reached() -> None:
    curves = {1.0: (0.3, 0.35, 0.6), 2.0: (0.0, 0.0, 0.4)}
    assert ends(raced(spec((1.0, 2.0), minimum_accuracy=0.6), curves)) == [
        (1.0, 3, "completed"),
        (2.0, 3, "completed"),
    ]
    assert ends(raced(spec((1.0, 2.0), minimum_accuracy=0.3), curves)) == [
        (1.0, 1, "cut-short"),
        (2.0, 1, "outpaced"),
    ]


@pytest.mark.parametrize(
    ("margins", "epochs"), [((0.3, 0.0), 2), ((0.1, 1.0), 1), ((0.3,), 3), ((0.3, 0.3, 0.0), 3)]
)
def test_each_epoch_has_its_margin_and_the_last_one_holds_on(
    margins: tuple[float, ...], epochs: int
) -> None:
    rates = spec((1.0, 2.0)).model_copy(update={"racing": Racing(margins=margins)})
    result = raced(rates, {1.0: (0.5, 0.6, 0.6), 2.0: (0.3, 0.3, 0.5)})
    assert len(result.probes[1].accuracies) == epochs


class TestEnds:
    def run(self, what: Callable[[], Any]) -> Swept:
        """The second of three rates does ``what`` in its second epoch."""

        def start(rate: float) -> NextEpoch:
            epochs = iter([0.5, None if rate == 2.0 else 0.5, 0.5])

            def next_epoch() -> Any:
                accuracy = next(epochs)
                return what() if accuracy is None else accuracy

            return next_epoch

        return choose_rate(spec((1.0, 2.0, 3.0)), start)

    def test_an_error_ends_the_race_and_is_quoted(self) -> None:
        def fail() -> float:
            raise CandidateError("ValueError: boom")

        result = self.run(fail)
        assert (result.rate, result.outcome) == (None, Outcome.ERRORED)
        assert result.message == "ValueError: boom"
        assert ends(result) == [
            (1.0, 2, "cut-short"),
            (2.0, 1, "cut-short"),
            (3.0, 1, "cut-short"),
        ]

    def test_time_running_out_ends_the_race(self) -> None:
        result = self.run(lambda: "timed-out")
        assert (result.rate, result.outcome) == (None, Outcome.TIMED_OUT)
        assert ends(result) == [
            (1.0, 2, "cut-short"),
            (2.0, 1, "timed-out"),
            (3.0, 1, "cut-short"),
        ]


@pytest.mark.parametrize("margin", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("optimizer", [tiny.sgd, tiny.scripted(8, tiny.poison)])
def test_real_races_do_what_the_recorded_probes_of_a_sweep_would(
    margin: float, optimizer: Any
) -> None:
    """To the last bit, though the trainings take turns."""
    alone = tiny.sweep(
        rates=((0.1, 1.0), (0.01, 0.3)), epochs=3, schedule=ScheduleSpec(total_steps=18)
    )
    racing = alone.model_copy(update={"racing": Racing(margins=(margin,))})

    def probes(sweep: Sweep) -> tuple[tuple[Probe, ...], float | None, int]:
        protocol = tiny.protocol(sweep=sweep, augmentation="crop-flip-cutout")
        found = evaluate("sgd", optimizer, protocol, tiny.split(), device="cpu")
        trained = sum(training.steps for training in found.trainings)
        return found.probes, found.rate, found.steps - trained

    full, _, most = probes(alone)
    expected = choose_rate(racing, recorded(full))
    found, rate, steps = probes(racing)
    assert (found, rate) == (expected.probes, expected.rate)
    assert steps <= most
    if optimizer is tiny.sgd:
        assert steps == 6 * sum(len(probe.accuracies) for probe in found)
        assert (steps < most) == (margin < 1.0)


@pytest.mark.parametrize("margins", [[], [-0.1], [1.1], [0.1, float("nan")], 0.1])
def test_impossible_margins_are_refused(margins: Any) -> None:
    with pytest.raises(InputError, match=r"protocol\.sweep\.racing\.margins"):
        read_config(settings={"protocol.sweep.racing.margins": margins})


def test_racing_is_switched_by_one_setting_and_is_part_of_the_protocol() -> None:
    quick = read_config()
    off = read_config(settings={"protocol.sweep.racing": None})
    on = read_config(settings={"protocol.sweep.racing": {}})
    assert off.protocol.sweep.racing is None
    assert on.protocol.sweep.racing == Racing()
    assert off.protocol.content_id() != quick.protocol.content_id()
