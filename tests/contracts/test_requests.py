"""How often a search asks its store: the preflight's number is what is counted on a real server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import botocore.client
import pytest
import tiny_run

from evoptim import steps
from evoptim.cache import CACHE_VARIABLE
from evoptim.config import RunConfig
from evoptim.records import Evaluation, Outcome
from evoptim.store import Stage, load, open_store
from pipelines.preflight import make_plan
from pipelines.profile_reading import read_profile

SIZE = 3
GENERATIONS = 1


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    # Parts of two, so that chunks of three also begin in the midst of one.
    monkeypatch.setattr("evoptim.steps.parts.CANDIDATES_IN_PART", 2)
    # How often it looks is a matter of time.
    monkeypatch.setattr("evoptim.steps.ahead.PAUSE_SECONDS", 1_000.0)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """What was asked of S3, by the name of the request."""
    counted: Counter[str] = Counter()
    original = botocore.client.BaseClient._make_api_call

    def call(self: Any, name: str, *given: Any) -> Any:
        counted[name] += 1
        return original(self, name, *given)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", call)
    return counted


def search(store: str, **changes: Any) -> RunConfig:
    """A whole search in the order of the pipeline, with one Job a stage."""
    config = tiny_run.tiny_config(search__generations=GENERATIONS, **changes)
    steps.initialise(store, "tiny", config.model_dump_json())

    def evaluated(stage: Stage, chunks: Sequence[int]) -> None:
        steps.missing_chunks(store, "tiny", stage, SIZE)
        for chunk in chunks:
            if stage.number is None:
                steps.evaluate_finals(store, "tiny", chunk, SIZE)
            else:
                steps.evaluate(store, "tiny", stage.number, chunk, SIZE, wait=True)
        steps.missing_chunks(store, "tiny", stage, SIZE)

    for number in range(GENERATIONS + 1):
        stage = Stage.generation(number)
        with steps.read_ahead(store, "tiny", stage) as ahead:
            assert steps.chunks_to_propose(store, "tiny", stage, SIZE) is not None
            evaluated(stage, steps.propose(store, "tiny", number, SIZE))
        steps.select(store, "tiny", number, ahead=ahead)
        steps.population_metrics(store, "tiny", number)
    evaluated(Stage.finals(), steps.propose_finals(store, "tiny", SIZE))
    steps.report(store, "tiny")
    steps.champion(store, "tiny")
    steps.summary(store, "tiny")
    return config


def counted_before(config: RunConfig) -> int:
    profile = read_profile(settings={"fan_out": "job", "candidates_per_task": SIZE})
    return make_plan(config, profile, compiled="x").s3_requests


def test_the_preflight_counts_the_requests_that_a_search_makes(
    s3_url: str, asked: Counter[str]
) -> None:
    assert counted_before(search(s3_url)) == sum(asked.values()), asked


def test_a_refusal_takes_two_requests_less_because_no_other_run_is_given_it(
    s3_url: str, asked: Counter[str]
) -> None:
    config = search(s3_url, screens__trial={"steps": 60, "threshold": 0.3})
    made = sum(asked.values())
    store = open_store(s3_url)
    evaluations = [key for key in store.list("runs/tiny/") if "/evaluations/" in key]
    outcomes = [load(store, key, Evaluation).outcome for key in evaluations]
    refused = outcomes.count(Outcome.REFUSED)
    assert 0 < refused < len(outcomes)
    assert counted_before(config) == made + 2 * refused, asked
