"""What benchmarks/proxy_validity.py reads from a log and from an evaluation, and how it chooses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from proxy_features import (
    FEATURES,
    FITNESS,
    accuracy_at,
    first_seed,
    least_loss,
    mean_over_seeds,
    slope_from,
)
from proxy_validity import (
    DESIGN,
    OTHER,
    Kept,
    Ranking,
    chosen,
    gain,
    initial_scores,
    lengthened,
    of_length,
    outcome,
    rankings,
    sample,
    signed,
    swept,
    trained,
)

from evoptim.records import Cost, Epoch, Evaluation, Outcome, Training

GENOME = signed("None ~ id(g)")


def epoch(number: int, accuracy: float, loss: float | None) -> Epoch:
    return Epoch(
        step=number,
        train_loss=1.0 / number,
        train_accuracy=accuracy,
        validation_loss=loss,
        validation_accuracy=accuracy,
    )


def training(*rows: tuple[float, float | None], seed: int = 0) -> Training:
    curve = tuple(epoch(number, *row) for number, row in enumerate(rows, 1))
    return Training(
        seed=seed,
        curve=curve,
        steps=len(curve),
        stopped="completed",
        best_epoch=max(range(len(curve)), key=lambda n: curve[n].validation_accuracy),
        test_loss=None,
        test_accuracy=None,
    )


def evaluation(*trainings: Training, subject: str = "x", rate: float | None = 0.1) -> Evaluation:
    return Evaluation(
        subject=subject,
        protocol="p",
        outcome=Outcome.TRAINED if trainings else Outcome.UNTRAINABLE,
        fitness=0.5 if trainings else None,
        validation_loss=1.0 if trainings else None,
        test_accuracy=None,
        rate=rate if trainings else None,
        probes=(),
        trainings=trainings,
        steps=1,
        versions={},
        cost=Cost(seconds=1.0, device="cpu"),
    )


TWICE = evaluation(
    training((0.2, 2.0), (0.4, 1.5), (0.6, 1.0), (0.5, 1.2)),
    training((0.2, 2.0), (0.6, 1.5), (0.8, 0.6), (0.9, 0.8), seed=1),
)


def test_features_are_means_over_seeds_and_more_is_better() -> None:
    assert mean_over_seeds(least_loss)(TWICE) == pytest.approx(-0.8)
    assert mean_over_seeds(accuracy_at(0.5))(TWICE) == pytest.approx(0.5)
    assert mean_over_seeds(slope_from(0.25))(TWICE) == pytest.approx((0.3 + 0.7) / 2)
    assert first_seed(accuracy_at(1.0))(TWICE) == 0.5


def test_what_failed_has_no_feature() -> None:
    assert {title: feature(evaluation()) for title, feature in FEATURES.items()} == dict.fromkeys(
        FEATURES
    )


def test_a_loss_that_is_not_finite_is_worse_than_any() -> None:
    assert mean_over_seeds(least_loss)(evaluation(training((0.1, None), (0.1, None)))) is None


def row(role: str, formula: str, accuracy: str, failed: str = "0") -> dict[str, str]:
    momentum, _, expression = formula.partition(" ~ ")
    named = {"role": role, "momentum": momentum, "expression": expression}
    return {**named, "val_acc": accuracy, "failed": failed}


LOG = [
    row("init_model", "None ~ a", "0.7"),
    row("init_particle", "None ~ a", "0.8"),
    row("mutation", "Mom ~ b", "0.81"),
    row("mutation", "Mom ~ b", "0.83"),
    row("chosen", "Mom ~ b", "0.83"),
    row("mutation", "Mom ~ c", "", failed="1"),
]


def test_the_truth_is_every_evolution_accuracy_of_what_trained_and_no_row_twice() -> None:
    assert trained(LOG) == {"None ~ a": (0.8,), "Mom ~ b": (0.81, 0.83)}


def test_the_authors_own_proxy_is_their_initial_fitness() -> None:
    cheap, full = initial_scores(LOG)
    assert (cheap.tolist(), full.tolist()) == ([0.7], [0.8])


def test_a_larger_sample_begins_with_the_smaller_one() -> None:
    formulas = [f"formula {number}" for number in range(30)]
    assert sample(formulas, 20, 0)[:5] == sample(formulas[::-1], 5, 0)
    assert sample(formulas, 20, 0) != sample(formulas, 20, 1)


def test_another_length_keeps_task_and_rate_and_sweeps_no_more() -> None:
    base = swept(None)["digits"]
    longer = lengthened(base, 1_200, 0.1)
    assert longer.task == base.task
    assert longer.sweep.rates == ((0.1,),)
    assert longer.training.epochs * longer.training.steps_per_epoch == 1_200
    assert longer.training.schedule.warmup_steps == 120


def test_what_was_measured_is_found_again_though_a_kill_cut_the_last_line(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    found = evaluation(training((0.2, 1.0)), subject=GENOME.id)
    kept.add("digits", found)
    with (tmp_path / "evaluations.jsonl").open("a") as file:
        file.write('{"protocol": "cifar", "evalu')
    again = Kept(tmp_path)
    assert again.get("digits", GENOME) == found
    assert again.get("cifar", GENOME) is None


def test_what_failed_the_sweep_fails_at_every_length(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    assert outcome(kept, of_length("digits", 100), GENOME) is None
    kept.add("digits", evaluation(subject=GENOME.id))
    found = outcome(kept, of_length("digits", 100), GENOME)
    assert found is not None
    assert found.fitness is None


def test_only_candidates_that_were_measured_are_ranked(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    genomes = [signed(f"None ~ id({operand})") for operand in ("g", "v hat", "sign(g)")]
    for genome, accuracy in zip(genomes[1:], (0.4, 0.6), strict=True):
        kept.add("digits", evaluation(training((accuracy, 1.0)), subject=genome.id))
    kept.add("cifar", evaluation(training((0.3, 1.0)), subject=genomes[0].id))
    found = {
        (each.protocol, each.feature): each for each in rankings(genomes, ["digits", "cifar"], kept)
    }
    assert found["digits", "validation accuracy at 1/2"].places.tolist() == [1, 2]
    assert found["digits", "validation accuracy at 1/2"].values.tolist() == [0.25, 0.75]
    assert not any("+" in protocol for protocol, _ in found)  # nobody was measured under both


def test_the_choice_looks_at_one_half_alone() -> None:
    truth = np.arange(40.0)
    places = np.arange(40)
    good_there = np.where(places % 2 == DESIGN, truth, -truth)
    good_here = np.where(places % 2 == OTHER, truth, -truth)
    one, two = (
        Ranking(name, FITNESS, places, v) for name, v in (("1", good_there), ("2", good_here))
    )
    assert chosen([one, two], truth) is one
    assert gain(one, two, truth).value == pytest.approx(-2.0)


def test_a_comparison_is_of_the_candidates_that_both_rank() -> None:
    truth = np.arange(40.0)
    whole = Ranking("whole", FITNESS, np.arange(40), truth)
    part = Ranking("part", FITNESS, np.arange(10, 40), -truth[10:])
    assert gain(whole, part, truth).value == pytest.approx(2.0)
