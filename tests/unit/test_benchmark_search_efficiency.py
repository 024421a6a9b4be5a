"""How benchmarks/search_efficiency.py drives searches, on trainings of a tenth of a second."""

from __future__ import annotations

from pathlib import Path

import pytest
import search_efficiency
from best_so_far import Found
from efficiency_arms import ARMS, BAR, Arm
from search_efficiency import FRESH_SEEDS, Curve, Plan, champions, curve, search, table
from tiny_run import tiny_config

from evoptim.config import RunConfig
from evoptim.steps.reading import stage_protocol
from evoptim.store import Stage, open_store

BUDGET = 60
"""Steps; a tiny evaluation takes 8."""


def tiny(task: str, budget: int) -> RunConfig:
    del task, budget
    return tiny_config(search__generations=20)


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.setattr(
        search_efficiency, "ARMS", {"tiny": Arm(tiny), "finals": Arm(tiny, holds_finals=True)}
    )
    return Plan(str(tmp_path), "digits", None, BUDGET)


def test_a_search_spends_its_budget_and_no_more(plan: Plan) -> None:
    found = search(plan, "tiny", 0).found
    spent = sum(each.steps for each in found)
    assert BUDGET - 8 < spent <= BUDGET
    assert len(found) > 5  # it went on to the children


def test_a_larger_budget_goes_on_where_a_smaller_one_ended(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = search(plan, "tiny", 0).found
    larger = search(Plan(plan.store, "digits", None, BUDGET + 16), "tiny", 0).found
    assert larger[: len(before)] == before
    assert len(larger) > len(before)

    def trained(*_: object) -> None:
        raise AssertionError("what was found before is trained again")

    monkeypatch.setattr("evoptim.training.evaluate_many", trained)
    assert search(plan, "tiny", 0).found == before


def test_quality_is_measured_under_seeds_that_no_search_has_seen(plan: Plan) -> None:
    drawn = curve(plan, "tiny", 0)
    assert len(drawn.quality) == len(plan.checkpoints)
    assert 0.0 < drawn.quality[-1] < 1.0
    assert not set(FRESH_SEEDS) & set(plan.config("tiny", 0).protocol.seeds)
    # Fresh evaluations are beside those of the search, for the arms that find the same.
    kept = list(open_store(plan.store).list("evaluations/"))
    assert len(kept) > len(search(plan, "tiny", 0).found)


def test_finals_name_one_of_the_best_under_seeds_of_their_own(plan: Plan) -> None:
    searched = search(plan, "finals", 0)
    assert searched == search(plan, "tiny", 0)
    named = champions(plan, "finals", 0, searched)
    assert len(named) == len(plan.checkpoints)
    config = plan.config("finals", 0)
    protocol = stage_protocol(config, Stage.finals())
    assert protocol.seeds == config.finals.seeds
    kept = [
        each
        for each in open_store(plan.store).list("evaluations/")
        if each.endswith(f"{protocol.content_id()}.json")
    ]
    assert len(kept) >= config.finals.candidates
    assert any(str(named[-1]) in each for each in kept)


def test_before_anything_is_found_the_quality_is_nothing(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = search_efficiency.Searched((Found("x", 10, None),), {}, {}, 0, 1)
    monkeypatch.setattr(search_efficiency, "search", lambda *_: nothing)
    assert set(curve(plan, "tiny", 0).quality) == {0.0}


@pytest.mark.parametrize("budget", [10_000, 25_000, 100_000])
def test_the_paper_s_settings_have_its_proportions_and_no_screens(budget: int) -> None:
    config = ARMS[BAR].make("digits", budget)
    search, screens = config.search, config.screens
    assert search.initial == 10 * search.particles
    assert search.particles == max(1, budget // 25_000)
    assert (search.children, search.replacement) == (7, "always")
    assert not any(screens.model_dump().values())
    assert config.protocol.seeds == (0,)


def test_no_arm_ends_before_its_budget() -> None:
    for arm in ARMS.values():
        spec = arm.make("digits", 25_000).search
        assert (spec.initial + spec.generations * spec.particles * spec.children) * 100 >= 25_000


def test_the_table_says_who_reaches_the_bar_and_when() -> None:
    shares = [0.5, 1.0]
    rows = {
        BAR: [Curve(BAR, seed, (0.8, 0.9), 0.95, 10, 0, 2) for seed in range(3)],
        "fast": [Curve("fast", seed, (0.9, 0.9), 0.95, 10, 5, 0) for seed in range(3)],
        "never": [Curve("never", seed, (0.1, 0.2), 0.2, 10, 5, 0) for seed in range(3)],
    }
    _, bar, fast, never = table(rows, shares)
    assert "1.00 (1.00 to 1.00)" in bar
    assert "0.50 (0.50 to 0.50)" in fast
    assert "inf" in never
