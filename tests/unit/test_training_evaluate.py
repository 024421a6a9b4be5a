"""The whole evaluation: outcomes, fitness, what takes no part in it, and determinism."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tiny_training as tiny
import torch

from evoptim.config import ScheduleSpec
from evoptim.records import Epoch, Evaluation, Outcome
from evoptim.tasks import Dataset, Split
from evoptim.training import evaluate
from evoptim.training.full import best_epoch_of


def run(optimizer: Any = tiny.sgd, split: Split | None = None, **changes: Any) -> Evaluation:
    return evaluate("sgd", optimizer, tiny.protocol(**changes), split or tiny.split(), device="cpu")


def test_a_good_optimizer_is_trained_and_recorded() -> None:
    protocol = tiny.protocol()
    record = run()
    assert (record.subject, record.protocol) == ("sgd", protocol.content_id())
    assert (record.outcome, record.message) == (Outcome.TRAINED, None)
    assert [probe.rate for probe in record.probes] == [0.1, 1.0]
    assert record.rate == 1.0
    (training,) = record.trainings
    assert [epoch.step for epoch in training.curve] == [10, 20, 30]
    assert (training.seed, training.stopped) == (0, "completed")
    best = training.curve[training.best_epoch or 0]
    assert (
        record.fitness
        == best.validation_accuracy
        == max(epoch.validation_accuracy for epoch in training.curve)
    )
    # Four classes; the rows are told apart after a few steps.
    assert record.fitness > 0.6
    assert record.test_accuracy == training.test_accuracy
    assert record.steps == 2 * 12 + 30
    assert set(record.versions) == {"evoptim", "python", "torch"}
    assert record.cost.device == "cpu"
    assert Evaluation.model_validate_json(record.model_dump_json()) == record


def test_each_seed_trains_once_and_fitness_is_the_mean() -> None:
    both = run(seeds=(3, 5))
    single = run(seeds=(3,))
    assert [training.seed for training in both.trainings] == [3, 5]
    assert both.probes == single.probes, "the sweep uses the first seed"
    assert both.trainings[0] == single.trainings[0]
    assert both.trainings[0].curve != both.trainings[1].curve
    for name, value in (
        ("fitness", "validation_accuracy"),
        ("validation_loss", "validation_loss"),
    ):
        bests = [getattr(each.curve[each.best_epoch or 0], value) for each in both.trainings]
        assert getattr(both, name) == pytest.approx(sum(bests) / 2, rel=1e-12)
    tests = [training.test_accuracy or 0.0 for training in both.trainings]
    assert both.test_accuracy == pytest.approx(sum(tests) / 2, rel=1e-12)


def test_test_images_are_measured_only_where_the_protocol_says_so() -> None:
    measured, unmeasured = run(test=True, seeds=(3, 5)), run(test=False, seeds=(3, 5))
    assert measured.test_accuracy is not None
    assert unmeasured.test_accuracy is None
    for training in unmeasured.trainings:
        assert (training.test_loss, training.test_accuracy) == (None, None)
    # It changes nothing else.
    assert [each.curve for each in unmeasured.trainings] == [e.curve for e in measured.trainings]
    assert unmeasured.fitness == measured.fitness
    assert unmeasured.protocol != measured.protocol


def test_ten_thousand_classes_give_a_record() -> None:
    def part(count: int, seed: int) -> Dataset:
        few = tiny.stripes(count, seed)
        return Dataset(few.images, few.labels * 2_500)

    names = tuple(map(str, range(10_000)))
    record = run(split=Split(names, part(40, 0), part(30, 1), part(20, 2)))
    assert record.outcome is Outcome.TRAINED
    assert record.fitness is not None


class TestFailures:
    def test_climbing_instead_of_descending_fails(self) -> None:
        def uphill(params: Any, lr: float, schedule: ScheduleSpec) -> torch.optim.Optimizer:
            return torch.optim.SGD(params, lr=lr, maximize=True)

        record = run(uphill, sweep=tiny.sweep(give_up_accuracy=0.4, minimum_accuracy=0.4))
        assert record.outcome in (Outcome.UNTRAINABLE, Outcome.DIVERGED)
        assert (record.fitness, record.rate, record.trainings) == (None, None, ())

    def test_nan_at_once_is_divergence(self) -> None:
        record = run(tiny.scripted(0, tiny.poison), sweep=tiny.sweep(minimum_accuracy=0.3))
        assert record.outcome is Outcome.DIVERGED
        assert [probe.stopped for probe in record.probes] == ["non-finite"] * 2
        assert record.fitness is None

    def test_nan_before_the_first_epoch_of_the_full_training_is_divergence(self) -> None:
        # Probes see the fifth step as well, but the bars of this sweep let them pass.
        record = run(tiny.scripted(5, tiny.poison))
        assert record.outcome is Outcome.DIVERGED
        assert record.rate is not None
        (training,) = record.trainings
        assert (training.curve, training.best_epoch, training.test_accuracy) == ((), None, None)

    def test_nan_later_keeps_the_best_epoch_before_it(self) -> None:
        record = run(tiny.scripted(25, tiny.poison))
        assert record.outcome is Outcome.COLLAPSED
        assert not record.outcome.failed
        (training,) = record.trainings
        assert (len(training.curve), training.stopped) == (2, "non-finite")
        assert record.fitness == max(epoch.validation_accuracy for epoch in training.curve)
        assert record.test_accuracy is not None

    def test_nan_weights_after_the_last_step_of_an_epoch_show_in_validation(self) -> None:
        """As with a rule that divides by a decay's last value, 0: training itself saw no NaN."""

        class LastStep(tiny.Scripted):
            def step(self, closure: Any = None) -> None:
                super().step(closure)
                if self._taken == 30:
                    tiny.poison(self)

        record = run(lambda params, lr, schedule: LastStep(params, lr, -1, tiny.poison))
        assert record.outcome is Outcome.TRAINED
        last = record.trainings[0].curve[-1]
        assert (last.validation_accuracy, last.validation_loss) == (0.0, None)
        assert record.trainings[0].best_epoch in (0, 1)

    def test_accuracy_below_the_bar_stops_it_and_that_epoch_counts(self) -> None:
        record = run(training=tiny.training(give_up_epoch=2, give_up_accuracy=1.0))
        assert record.outcome is Outcome.COLLAPSED
        (training,) = record.trainings
        assert (len(training.curve), training.stopped) == (2, "below-bar")
        assert record.fitness == max(epoch.validation_accuracy for epoch in training.curve)

    @pytest.mark.parametrize("at", [3, 18])
    def test_an_error_is_quoted(self, at: int) -> None:
        """Whether in the sweep (12 steps a probe) or in the full training."""
        record = run(tiny.scripted(at, tiny.raising(ValueError("no such\nthing"))))
        assert (record.outcome, record.message) == (Outcome.ERRORED, "ValueError: no such thing")
        assert record.fitness is None
        assert (record.rate is None) == (at < 12)

    def test_an_error_at_construction_is_quoted(self) -> None:
        def broken(params: Any, lr: float, schedule: ScheduleSpec) -> torch.optim.Optimizer:
            raise KeyError("state")

        record = run(broken)
        assert (record.outcome, record.message) == (Outcome.ERRORED, "KeyError: 'state'")
        assert record.steps == 0

    def test_lack_of_memory_is_no_result(self) -> None:
        with pytest.raises(MemoryError):
            run(tiny.scripted(3, tiny.raising(MemoryError())))

    def test_time_is_up(self) -> None:
        record = run(timeout_seconds=1e-9)
        assert (record.outcome, record.fitness) == (Outcome.TIMED_OUT, None)
        assert record.steps == 0


def test_the_best_epoch_has_the_highest_accuracy_then_the_smallest_loss_then_comes_first() -> None:
    def curve(*rows: tuple[float, float | None]) -> list[Epoch]:
        return [
            Epoch(
                step=1,
                train_loss=0.0,
                train_accuracy=0.0,
                validation_accuracy=accuracy,
                validation_loss=loss,
            )
            for accuracy, loss in rows
        ]

    assert best_epoch_of(curve((0.5, 0.1), (0.7, 0.9), (0.6, 0.2))) == 1
    assert best_epoch_of(curve((0.7, 0.5), (0.7, 0.4), (0.7, 0.4))) == 1
    assert best_epoch_of(curve((0.7, None), (0.7, 9.0), (0.1, 0.0))) == 1


def test_test_images_change_nothing_but_the_test_numbers() -> None:
    clean = tiny.split()
    garbage = Dataset(255 - clean.test.images, clean.test.labels.flip(0))
    before = run(split=clean).deterministic()
    after = run(split=dataclasses.replace(clean, test=garbage)).deterministic()
    assert before["test_accuracy"] != after["test_accuracy"]
    for record in (before, after):
        record.pop("test_accuracy")
        for training in record["trainings"]:
            training.pop("test_accuracy")
            training.pop("test_loss")
    assert before == after


def test_the_test_numbers_are_those_of_the_best_epoch() -> None:
    """A training that ends with its best epoch gives the same ones as a longer one."""
    long = run(tiny.scripted(25, tiny.poison))
    best = long.trainings[0].best_epoch
    assert best is not None
    short = run(tiny.scripted(25, tiny.poison), training=tiny.training(epochs=best + 1))
    assert short.trainings[0].test_loss == long.trainings[0].test_loss


def test_validation_and_test_images_are_not_trained_on() -> None:
    """Also under statistics of batch normalisation, which validation must not move."""
    clean = tiny.split()
    other = dataclasses.replace(clean, validation=tiny.stripes(30, 77))
    first, second = run(split=clean), run(split=other)
    for one, two in zip(first.trainings[0].curve, second.trainings[0].curve, strict=True):
        assert (one.train_loss, one.train_accuracy) == (two.train_loss, two.train_accuracy)
    assert first.probes == second.probes


class TestDeterminism:
    def test_all_candidates_start_from_the_same_network_and_images(self) -> None:
        """With rate 0 nothing but dropout and augmentation varies, hence all candidates agree."""

        def still(params: Any, lr: float, schedule: ScheduleSpec) -> torch.optim.Optimizer:
            return torch.optim.SGD(params, lr=0.0)

        def greedy(params: Any, lr: float, schedule: ScheduleSpec) -> torch.optim.Optimizer:
            return tiny.Scripted(params, 0.0, 2, lambda _: torch.rand(1000))  # type: ignore[arg-type]

        first, second = (
            run(optimizer, augmentation="crop-flip-cutout") for optimizer in (still, greedy)
        )
        assert first.deterministic() == second.deterministic()

    def test_the_callers_random_state_and_threads_do_not_matter_and_stay(self) -> None:
        threads = torch.get_num_threads()
        records = []
        try:
            for seed, count in ((1, 1), (2, 2)):
                torch.manual_seed(seed)
                torch.set_num_threads(count)
                before = torch.get_rng_state()
                with torch.no_grad():
                    records.append(run(augmentation="crop-flip-cutout").deterministic())
                assert torch.equal(torch.get_rng_state(), before)
                assert torch.get_num_threads() == count
        finally:
            torch.set_num_threads(threads)
        assert records[0] == records[1]

    def test_an_optimizer_that_draws_numbers_draws_the_same_ones(self) -> None:
        class Noisy(torch.optim.SGD):
            def step(self, closure: Any = None) -> None:
                for weight in self.param_groups[0]["params"]:
                    weight.grad += 0.01 * torch.randn_like(weight)
                super().step(closure)

        records = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            record = run(lambda params, lr, schedule: Noisy(params, lr=lr))
            records.append(record.deterministic())
        assert records[0] == records[1]

    def test_another_process_computes_the_same_bits(self) -> None:
        program = (
            "import json, tiny_training as tiny\n"
            "from evoptim.training import evaluate\n"
            "record = evaluate('sgd', tiny.sgd, tiny.protocol(), tiny.split(), device='cpu')\n"
            "print(json.dumps(record.deterministic()))"
        )
        root = Path(__file__).parents[2]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(root), str(root / "tests")]),
            "OMP_NUM_THREADS": "2",
            "PYTHONHASHSEED": "7",
        }
        printed = subprocess.run(
            [sys.executable, "-c", program], env=environment, check=True, capture_output=True
        ).stdout
        assert json.loads(printed) == run().deterministic()


def test_costs_are_core_seconds_whatever_else_takes_time() -> None:
    """A step that waits costs nothing, one that computes does."""
    waiting = run(tiny.scripted(3, lambda _: time.sleep(1.0)))
    assert waiting.cost.seconds < 0.9

    def busy(_: tiny.Scripted) -> None:
        until = time.thread_time() + 1.0
        while time.thread_time() < until:
            pass

    assert run(tiny.scripted(3, busy)).cost.seconds > 1.0


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
def test_another_precision_trains_too(precision: str) -> None:
    exact, rough = run(), run(precision=precision)
    assert rough.outcome is Outcome.TRAINED
    # A CPU has no TF32.
    same = rough.deterministic()["trainings"] == exact.deterministic()["trainings"]
    assert same == (precision == "tf32")


def test_progress_ends_at_the_number_of_steps() -> None:
    seen: list[tuple[int, int]] = []
    protocol = tiny.protocol()
    evaluate(
        "sgd", tiny.sgd, protocol, tiny.split(), device="cpu",
        progress=lambda done, most: seen.append((done, most)),
    )  # fmt: skip
    assert seen == [(done, 54) for done in (6, 12, 18, 24, 34, 44, 54)]
