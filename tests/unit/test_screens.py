"""Screens in a run: who is refused, what is recorded and shared, and what is said of it."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from sample_run import evaluation, genome_candidate, sample_config, stage_of
from tiny_run import deterministic, finals, generation, start, tiny_config

from evoptim import preset
from evoptim.analysis import ScreenSpent, account, summarise
from evoptim.config import Hopeless, Screens, TrialSpec
from evoptim.errors import InputError
from evoptim.records import Candidates, Cost, Evaluation, Outcome
from evoptim.report import ReportInputs, render

pytestmark = pytest.mark.usefixtures("image_cache")

# Some of the five initial genomes learn that much in so few steps, others do not.
SOME = {"steps": 60, "threshold": 0.3}
NOBODY = {"steps": 20, "threshold": 1.0}


def evaluations(store: Path, run: str, stage: str = "generations/000") -> list[Evaluation]:
    folder = store / "runs" / run / stage / "evaluations"
    return [Evaluation.model_validate_json(path.read_bytes()) for path in sorted(folder.iterdir())]


@pytest.fixture(scope="module")
def screened(tmp_path_factory: pytest.TempPathFactory, image_cache: None) -> Path:
    """A store with one evaluated run, ``screened``, in which some candidates were refused."""
    store = tmp_path_factory.mktemp("screened")
    start(store, "screened", screens__trial=SOME)
    for number in (0, 1):
        generation(store, number, "screened")
    finals(store, "screened")
    return store


def test_refused_candidates_are_not_trained_and_the_others_are_as_ever(
    screened: Path, finished: Path
) -> None:
    found, without = evaluations(screened, "screened"), evaluations(finished, "tiny")
    refused = [each for each in found if each.outcome is Outcome.REFUSED]
    assert 0 < len(refused) < len(found) == 5
    for each in refused:
        assert (each.fitness, each.steps, each.probes, each.trainings) == (None, 0, (), ())
        assert each.outcome.failed
        assert each.message is not None
        assert "the threshold is 30.0%" in each.message
    for each, other in zip(found, without, strict=True):
        assert each.subject == other.subject
        assert each.cost.screening > 0.0
        if each.outcome is not Outcome.REFUSED:
            assert each.deterministic() == other.deterministic()


def test_nobody_is_screened_in_the_finals(screened: Path) -> None:
    found = evaluations(screened, "screened", "finals")
    assert [each.cost.screening for each in found] == [0.0, 0.0, 0.0]
    assert all(each.outcome is not Outcome.REFUSED for each in found)


def test_a_refusal_is_the_runs_own_and_what_is_shared_knows_no_screen(screened: Path) -> None:
    trained = {
        each.subject
        for stage in ("generations/000", "generations/001", "finals")
        for each in evaluations(screened, "screened", stage)
        if each.outcome is not Outcome.REFUSED
    }
    shared = [
        Evaluation.model_validate_json(path.read_bytes())
        for path in screened.glob("evaluations/*/*.json")
    ]
    assert {each.subject for each in shared} == trained
    assert {each.cost.screening for each in shared} == {0.0}


def test_what_others_trained_is_reused_but_does_not_decide_who_is_refused(
    screened: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Path(shutil.copytree(finished, tmp_path / "store"))
    start(store, "screened", screens__trial=SOME)
    pool = importlib.import_module("evoptim.training.pool")

    def refuse(*args: Any, **more: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(pool, "evaluate", refuse)
    generation(store, 0, "screened")
    ours, fresh = evaluations(store, "screened"), evaluations(screened, "screened")
    assert [each.deterministic() for each in ours] == [each.deterministic() for each in fresh]


def test_the_order_and_size_of_chunks_change_nothing(screened: Path, tmp_path: Path) -> None:
    start(tmp_path, "screened", screens__trial=SOME)
    for number in (0, 1):
        generation(tmp_path, number, "screened", size=2, order=lambda chunks: chunks[::-1])
    found = deterministic(tmp_path, "screened")
    assert found == {name: deterministic(screened, "screened")[name] for name in found}


def test_a_screen_that_refuses_everything_stops_the_run_and_says_so(tmp_path: Path) -> None:
    start(tmp_path, screens__trial=NOBODY)
    with pytest.raises(InputError, match=r"trial.*refused all 5.*--set screens\.trial=null"):
        generation(tmp_path, 0)
    assert {each.outcome for each in evaluations(tmp_path, "tiny")} == {Outcome.REFUSED}
    assert not (tmp_path / "runs/tiny/generations/000/population.json").exists()
    assert not (tmp_path / "evaluations").exists()


def test_screens_are_no_part_of_how_fitness_is_measured() -> None:
    with_, without = tiny_config(screens__trial=SOME), tiny_config()
    assert with_.screens == Screens(trial=TrialSpec(steps=60, threshold=0.3))
    assert with_.protocol.content_id() == without.protocol.content_id()
    assert with_.content_id() != without.content_id()


@pytest.mark.parametrize(
    ("name", "screens"),
    [
        ("quickstart", Screens(trial=TrialSpec(), duplicates=True, hopeless=Hopeless())),
        # The paper had no such screen.
        ("paper", Screens(trial=None, duplicates=False)),
        ("paper-init", Screens(trial=None)),
        ("paper-evolution", Screens(trial=None)),
    ],
)
def test_which_presets_have_a_screen(name: str, screens: Screens) -> None:
    assert preset(name).screens == screens


@pytest.mark.parametrize("wrong", [{"steps": 30}, {"steps": 0}, {"threshold": 1.5}, {"rate": 1.0}])
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"screens\.trial\."):
        tiny_config(screens__trial=wrong)


def screened_run(*outcomes: Outcome) -> ReportInputs:
    """One generation of these outcomes; each evaluation took 2 s and half a second of screen."""
    config = sample_config(generations=0)
    protocol = config.protocol.content_id()
    leaves = ("g", "v hat", "s hat", "lam hat", "g^2", "g^3")
    found = tuple(
        genome_candidate(f"None ~ tanh({leaf})", index)
        for index, leaf in enumerate(leaves[: len(outcomes)])
    )
    records = []
    for candidate, outcome in zip(found, outcomes, strict=True):
        fitness = 0.9 if outcome is Outcome.TRAINED else None
        record = evaluation(candidate.id, protocol, fitness, outcome=outcome, message=None)
        seconds = 0.0 if outcome is Outcome.REFUSED else 2.0
        cost = Cost(seconds=seconds, device="cpu", screening=0.5)
        message = "the trial reached 12%" if outcome is Outcome.REFUSED else None
        records.append(record.model_copy(update={"cost": cost, "message": message}))
    stage = stage_of(0, Candidates(protocol=protocol, candidates=found), records)
    return ReportInputs("r", config, (stage,))


def trial_of(run: ReportInputs) -> ScreenSpent:
    return next(each for each in account(run.config, run.stages).screens if each.name == "trial")


def test_what_a_screen_saved_is_estimated_from_the_failures_that_trained() -> None:
    run = screened_run(Outcome.REFUSED, Outcome.REFUSED, Outcome.DIVERGED, Outcome.TRAINED)
    found = trial_of(run)
    # Half a second for each of the four.
    assert (found.turned_away, found.seconds) == (2, 2.0)
    # The one failure that was trained took 2 s and seven probes of 48 steps.
    assert (found.saved_seconds, found.saved_steps) == (2 * 2.0, 2 * 7 * 48)
    assert summarise("r", run.config, run.stages).ledger.core_seconds == 4.0 + 2.0


def test_where_nothing_failed_in_training_there_is_no_estimate() -> None:
    found = trial_of(screened_run(Outcome.REFUSED, Outcome.TRAINED))
    assert found.turned_away == 1
    assert found.saved_seconds is None


def test_the_report_says_what_the_screen_did() -> None:
    html = render(screened_run(Outcome.REFUSED, Outcome.DIVERGED, Outcome.TRAINED))
    assert "candidates refused before training" in html
    assert "switch it off with --set screens.trial=null." in html
    assert "the trial reached 12%" not in html
    without = ReportInputs("r", sample_config(generations=0), ())
    assert "refused before training" not in render(without)


def test_a_record_of_a_time_before_screens_can_be_read(finished: Path) -> None:
    path = next((finished / "runs/tiny/generations/000/evaluations").iterdir())
    record = json.loads(path.read_bytes())
    del record["cost"]["screening"]
    assert Evaluation.model_validate_json(json.dumps(record)).cost.screening == 0.0
