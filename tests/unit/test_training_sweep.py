"""The LR sweep, by the rules of the paper's program."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import tiny_training as tiny

from evoptim.config import Sweep
from evoptim.config.presets import paper_init_protocol
from evoptim.records import Outcome, Probe
from evoptim.training.epoch import Interruption
from evoptim.training.fault import CandidateError
from evoptim.training.meter import Meter
from evoptim.training.probe import NextEpoch
from evoptim.training.setting import prepare
from evoptim.training.sweep import Swept, choose_rate, sweep

PAPER = paper_init_protocol().sweep
FIRST, SECOND = PAPER.rates


def swept(
    scores: Mapping[float, float], then: Interruption | None = None, spec: Sweep = PAPER
) -> Swept:
    """A sweep in which each rate scores as told, by default 0.1; ``then`` it is interrupted."""

    def start(rate: float) -> NextEpoch:
        score = scores.get(rate, 0.1)
        if then is None:
            return lambda: score
        return iter([score, then]).__next__

    return choose_rate(spec, start)


def tried(result: Swept) -> tuple[float, ...]:
    return tuple(probe.rate for probe in result.probes)


def test_the_paper_tries_seven_rates_in_two_groups() -> None:
    assert (FIRST, SECOND) == ((10.0, 1e-2, 1e-5), (1.0, 0.1, 1e-3, 1e-4))
    assert (PAPER.give_up_accuracy, PAPER.minimum_accuracy, PAPER.give_up_epoch) == (0.25, 0.4, 3)


def test_the_best_score_wins() -> None:
    result = swept({1e-2: 0.5, 1e-3: 0.7, 1.0: 0.6})
    assert (result.rate, result.outcome) == (1e-3, None)
    assert tried(result) == FIRST + SECOND


@pytest.mark.parametrize(
    ("equals", "winner"), [((1e-4, 1.0), 1.0), ((1.0, 1e-5), 1e-5), ((1e-5, 10.0), 10.0)]
)
def test_of_equal_scores_the_first_tried_wins(equals: tuple[float, ...], winner: float) -> None:
    assert swept({**dict.fromkeys(equals, 0.6)} | {1e-2: 0.3}).rate == winner


def test_a_score_is_the_best_epoch_not_the_last() -> None:
    assert Probe(rate=1.0, accuracies=(0.3, 0.6, 0.5), stopped="completed").score == 0.6
    assert Probe(rate=1.0, accuracies=(), stopped="non-finite").score == 0.0


class TestThresholds:
    def test_a_first_group_below_the_bar_ends_the_sweep(self) -> None:
        result = swept({**dict.fromkeys(FIRST, 0.2499), 1.0: 0.9})
        assert (result.rate, result.outcome) == (None, Outcome.UNTRAINABLE)
        assert tried(result) == FIRST

    def test_one_rate_at_the_bar_keeps_it_going(self) -> None:
        assert swept({1e-5: 0.25, 1.0: 0.9}).rate == 1.0

    def test_later_groups_have_no_such_bar(self) -> None:
        spec = PAPER.model_copy(update={"rates": ((1.0,), (2.0,), (3.0,))})
        assert swept({1.0: 0.3, 2.0: 0.1, 3.0: 0.8}, spec=spec).rate == 3.0

    def test_the_best_must_reach_the_minimum(self) -> None:
        assert swept({1e-2: 0.3, 1.0: 0.3999}).outcome is Outcome.UNTRAINABLE
        assert swept({1e-2: 0.3, 1.0: 0.4}).rate == 1.0


class TestOutcomes:
    def test_all_rates_diverging_is_divergence(self) -> None:
        assert swept({}, "non-finite").outcome is Outcome.DIVERGED

    def test_a_rate_that_diverges_after_a_good_epoch_may_win(self) -> None:
        assert swept({1e-2: 0.6}, "non-finite").rate == 1e-2

    def test_time_running_out_ends_it(self) -> None:
        result = swept({1e-2: 0.6}, "timed-out")
        assert (result.rate, result.outcome) == (None, Outcome.TIMED_OUT)
        assert tried(result) == (10.0,)

    def test_an_error_ends_it_and_is_quoted(self) -> None:
        def start(rate: float) -> NextEpoch:
            if rate == 1e-2:
                raise CandidateError("ValueError: boom")
            return lambda: 0.5

        result = choose_rate(PAPER, start)
        assert (result.outcome, result.message) == (Outcome.ERRORED, "ValueError: boom")
        assert tried(result) == (10.0,)


class TestProbe:
    def run(self, optimizer: object = tiny.sgd, **changes: object) -> tuple[Probe, int]:
        protocol = tiny.protocol(sweep=tiny.sweep(rates=((1.0,),), epochs=4, **changes))
        meter = Meter(protocol, None)
        setting = prepare(protocol, tiny.split(), optimizer, "cpu")  # type: ignore[arg-type]
        (probe,) = sweep(setting, meter).probes
        return probe, meter.steps

    def test_it_takes_all_epochs_unless_stopped(self) -> None:
        probe, steps = self.run(give_up_epoch=3, schedule=tiny.training().schedule)
        assert (len(probe.accuracies), probe.stopped, steps) == (4, "completed", 24)

    def test_it_is_given_up_after_that_very_epoch(self) -> None:
        probe, steps = self.run(
            give_up_epoch=3, give_up_accuracy=1.0, schedule=tiny.training().schedule
        )
        assert (len(probe.accuracies), probe.stopped, steps) == (3, "below-bar", 18)

    def test_the_bar_holds_for_one_epoch_only(self) -> None:
        """Accuracy is below it before and after the second epoch, and on it there."""
        schedule, ruined = tiny.training().schedule, tiny.scripted(12, tiny.negate)
        free, _ = self.run(ruined, give_up_epoch=2, schedule=schedule)
        first, second, third, _ = free.accuracies
        assert first < second > third
        held, _ = self.run(ruined, give_up_epoch=2, give_up_accuracy=second, schedule=schedule)
        assert held == free

    def test_an_epoch_that_diverges_does_not_count(self) -> None:
        probe, steps = self.run(
            tiny.scripted(8, tiny.poison), give_up_epoch=3, schedule=tiny.training().schedule
        )
        assert (len(probe.accuracies), probe.stopped, steps) == (1, "non-finite", 12)
