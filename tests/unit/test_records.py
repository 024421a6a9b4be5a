"""Records: immutable, finite, closed, and readable by people who meet a failure."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError
from sample_run import evaluation, genome_candidate, sample_run

from evoptim.analysis import build_archive
from evoptim.records import Archive, Candidates, Cost, Evaluation, Outcome, Population, Probe
from evoptim.store import to_json

RUN = sample_run()
ARCHIVE = build_archive(RUN.run, RUN.config, RUN.stages)


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_has_a_cause_and_a_remedy_of_its_own(outcome: Outcome) -> None:
    assert outcome.cause.endswith(".")
    assert outcome.remedy.endswith(".")
    assert [other for other in Outcome if other.cause == outcome.cause] == [outcome]


def test_only_a_stopped_training_and_a_whole_one_have_a_fitness() -> None:
    # The paper: a stopped run is not failed.
    assert {outcome for outcome in Outcome if not outcome.failed} == {
        Outcome.TRAINED,
        Outcome.COLLAPSED,
    }


def test_outcomes_are_written_as_words() -> None:
    assert json.loads(to_json(evaluation("x", "p", None)))["outcome"] == "diverged"


def test_the_score_of_a_probe_is_its_best_epoch() -> None:
    assert Probe(rate=0.1, accuracies=(0.2, 0.5, 0.4), stopped="completed").score == 0.5


def test_a_probe_without_an_epoch_scores_nothing() -> None:
    assert Probe(rate=0.1, accuracies=(), stopped="non-finite").score == 0.0


def test_the_deterministic_part_of_an_evaluation_leaves_out_what_was_measured() -> None:
    fast, slow = (evaluation("x", "p", 0.9, seconds=seconds) for seconds in (1.0, 9.0))
    assert fast != slow
    assert fast.deterministic() == slow.deterministic()
    assert set(Evaluation.model_fields) - set(fast.deterministic()) == {"cost"}


@pytest.mark.parametrize("field", [each for each in Evaluation.model_fields if each != "cost"])
def test_everything_else_in_an_evaluation_is_deterministic(field: str) -> None:
    assert field in evaluation("x", "p", 0.9).deterministic()


def test_records_survive_json() -> None:
    for stage, population in zip(RUN.stages, RUN.populations, strict=False):
        assert Candidates.model_validate_json(to_json(stage.candidates)) == stage.candidates
        assert Population.model_validate_json(to_json(population)) == population
    for record in RUN.drawn.values():
        assert Evaluation.model_validate_json(to_json(record)) == record
    assert Archive.model_validate_json(to_json(ARCHIVE)) == ARCHIVE


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_record_holds_no_number_that_json_does_not_know(number: float) -> None:
    with pytest.raises(ValidationError, match="finite"):
        Cost(seconds=number, device="cpu")


@pytest.mark.parametrize(
    ("field", "value"),
    [("fitness", "0.9"), ("outcome", "fine"), ("steps", 1.5), ("cost", None), ("extra", 1)],
)
def test_a_record_of_another_shape_is_refused(field: str, value: Any) -> None:
    document = json.loads(to_json(evaluation("x", "p", 0.9))) | {field: value}
    with pytest.raises(ValidationError, match=field):
        Evaluation.model_validate_json(json.dumps(document))


def test_a_record_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        evaluation("x", "p", 0.9).fitness = 1.0


def test_a_candidate_is_one_of_five_kinds() -> None:
    with pytest.raises(ValidationError, match="'child', 'finalist' or 'baseline'"):
        genome_candidate("None ~ id(arcsinh(g))", role="parent")
