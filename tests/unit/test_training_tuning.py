"""Tuning: full trainings around the sweep's choice choose the rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import tiny_training as tiny

from evoptim.config import Tuning
from evoptim.config.presets import paper_evolution_protocol, quickstart_protocol
from evoptim.records import Evaluation, Outcome, TunedRate
from evoptim.training import evaluate
from evoptim.training.meter import Meter
from evoptim.training.tuning import climb

TUNING = Tuning(rates=3, seeds=(7, 8))


def climbed(scores: Mapping[float, float | None], swept: float = 0.1, **spec: Any) -> list[float]:
    """The rates that are tried where each scores as told, by default 0.1."""

    def try_rate(rate: float) -> TunedRate:
        return TunedRate(rate=rate, accuracies=(scores.get(rate, 0.1),), steps=1)

    return [each.rate for each in climb(Tuning(**spec), swept, try_rate)]


class TestClimb:
    def test_a_choice_above_both_neighbours_is_left_at_that(self) -> None:
        assert climbed({0.1: 0.9}) == [0.1, 0.316, 0.0316]

    def test_it_goes_on_from_a_better_neighbour(self) -> None:
        assert climbed({0.1: 0.5, 0.316: 0.6, 1.0: 0.7}) == [0.1, 0.316, 1.0, 3.16]
        assert climbed({0.1: 0.5, 0.0316: 0.6}) == [0.1, 0.316, 0.0316, 0.01]

    def test_it_ends_at_the_most_rates(self) -> None:
        rising = {0.1: 0.1, 0.316: 0.2, 1.0: 0.3, 3.16: 0.4, 10.0: 0.5}
        assert climbed(rising, rates=4) == [0.1, 0.316, 1.0, 3.16]
        assert climbed(rising, rates=1) == [0.1]

    def test_the_grid_is_as_fine_as_it_is_told_to_be(self) -> None:
        assert climbed({0.1: 0.9}, per_decade=1) == [0.1, 1.0, 0.01]
        assert climbed({0.1: 0.9}, per_decade=4) == [0.1, 0.178, 0.0562]

    def test_the_sweeps_choice_is_tried_to_the_last_digit(self) -> None:
        assert climbed({}, swept=0.012345)[0] == 0.012345

    def test_of_equal_ones_the_first_stays_the_best(self) -> None:
        assert climbed({0.1: 0.5, 0.316: 0.5, 0.0316: 0.5}) == [0.1, 0.316, 0.0316]

    def test_a_rate_that_leaves_no_fitness_is_worse_than_any(self) -> None:
        assert climbed({0.1: 0.0, 0.316: None}) == [0.1, 0.316, 0.0316, 0.01]


def run(optimizer: Any = tiny.sgd, tuning: Tuning | None = TUNING, **changes: Any) -> Evaluation:
    protocol = tiny.protocol(tuning=tuning, **changes)
    return evaluate("sgd", optimizer, protocol, tiny.split(), device="cpu")


def test_the_best_rate_is_trained_at_and_everything_is_recorded() -> None:
    record, swept = run(), run(tuning=None)
    assert record.probes == swept.probes
    assert swept.tuned == ()
    assert record.tuned[0].rate == swept.rate
    means = {each.rate: sum(a or 0.0 for a in each.accuracies) / 2 for each in record.tuned}
    assert len(means) == 3
    assert record.rate == max(means, key=lambda rate: means[rate])
    assert [each.steps for each in record.tuned] == [2 * 30] * 3
    assert record.steps == swept.steps + 3 * 2 * 30
    assert Evaluation.model_validate_json(record.model_dump_json()) == record


def test_what_tuning_measures_is_what_a_training_at_that_rate_measures() -> None:
    """The same networks and images: an evaluation of one rate, under the tuning's seeds."""
    tuned = run().tuned
    for each in tuned:
        alone = run(tuning=None, sweep=tiny.sweep(rates=((each.rate,),)), seeds=TUNING.seeds)
        found = [one.curve[one.best_epoch or 0].validation_accuracy for one in alone.trainings]
        assert list(each.accuracies) == found


def test_trainings_at_the_tuned_rate_are_those_of_a_sweep_of_that_rate_alone() -> None:
    record = run()
    assert record.rate is not None
    alone = run(tuning=None, sweep=tiny.sweep(rates=((record.rate,),)))
    assert record.trainings == alone.trainings


def test_a_candidate_without_a_rate_is_not_tuned() -> None:
    record = run(tiny.scripted(0, tiny.poison), sweep=tiny.sweep(minimum_accuracy=0.3))
    assert (record.outcome, record.tuned, record.rate) == (Outcome.DIVERGED, (), None)


def test_where_no_rate_leaves_a_fitness_the_sweeps_choice_stays() -> None:
    # Probes end after 12 steps, the first epoch of a full training after 20.
    slow = tiny.training(epochs=1, steps_per_epoch=20)
    record = run(tiny.scripted(13, tiny.poison), training=slow)
    assert [each.accuracies for each in record.tuned] == [(None, None)] * 3
    assert record.rate == record.tuned[0].rate
    assert record.outcome is Outcome.DIVERGED


def test_an_error_while_tuning_is_the_candidates_own() -> None:
    # Probes end after 12 steps.
    record = run(tiny.scripted(18, tiny.raising(ValueError("no such thing"))))
    assert (record.outcome, record.message) == (Outcome.ERRORED, "ValueError: no such thing")
    assert (record.fitness, record.trainings) == (None, ())


@pytest.mark.parametrize("steps", [10, 30, 100, 179])
def test_time_that_runs_out_while_tuning_is_a_time_out(
    steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = 2 * 12
    monkeypatch.setattr(Meter, "expired", property(lambda meter: meter.steps >= sweep + steps))
    record = run()
    assert (record.outcome, record.fitness, record.trainings) == (Outcome.TIMED_OUT, None, ())
    assert [probe.stopped for probe in record.probes] == ["completed"] * 2


def test_a_protocol_without_tuning_is_known_by_the_name_that_it_always_had() -> None:
    """What stores hold was measured under these; noted down before there was a tuning."""
    assert quickstart_protocol().content_id() == "ca52222b05833ce9"
    assert paper_evolution_protocol().content_id() == "f41714a043f57803"
    assert "tuning" not in quickstart_protocol().canonical_json()
    tuned = quickstart_protocol().model_copy(update={"tuning": Tuning()})
    assert type(tuned).model_validate_json(tuned.canonical_json()) == tuned
    assert tuned.content_id() != quickstart_protocol().content_id()
