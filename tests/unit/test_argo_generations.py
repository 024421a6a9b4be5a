"""How many generations a workflow makes: all, however many, or fewer with patience."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_run
from argo_engine import Attempt, Engine, RefusedError
from argo_search import LOST, Pods, Search, archive, made
from tiny_run import deterministic, objects, tiny_config

from evoptim import steps
from evoptim.errors import InputError
from evoptim.evolution import generations_without_improvement
from evoptim.records import Particle, Population
from pipelines.argo import DEPTH, RECURSION_LIMIT, TURNS

# With this seed generation 1 finds nothing better than generation 0.
LONG = {"search__generations": 3, "seed": 3, "baselines": ["sgd"]}


def bests(store: Path, generations: int) -> list[float]:
    found = []
    for number in range(generations):
        path = store / f"runs/tiny/generations/{number:03d}/population.json"
        particles = json.loads(path.read_text())["particles"]
        found.append(max(each["fitness"] for each in particles))
    return found


def generations_of(store: Path) -> list[str]:
    return sorted(path.name for path in (store / "runs/tiny/generations").iterdir())


def stop_after(values: list[float], patience: int) -> int:
    """The last generation of a search with these bests; written out a second time, plainly."""
    for last in range(len(values)):
        if last >= patience and max(values[: last + 1]) <= max(values[: last + 1 - patience]):
            return last
    return len(values) - 1


def test_a_search_without_progress_ends_early(search: Search, pods: Pods, tmp_path: Path) -> None:
    full = tmp_path / "full"
    tiny_run.start(full, **LONG)
    tiny_run.finish(full, generations=3)
    last = stop_after(bests(full, 4), 1)
    assert last < 3, "another seed is needed"

    engine = search(parameters={"patience": "1"}, **LONG)
    assert engine.run() == "Succeeded"
    assert generations_of(pods.store) == [f"{number:03d}" for number in range(last + 1)]
    # Up to there it is the same search.
    whole, found = deterministic(full), deterministic(pods.store)
    assert {name: whole[name] for name in found if not name.startswith(("report/", "finals/"))} == {
        name: text for name, text in found.items() if not name.startswith(("report/", "finals/"))
    }
    entries = json.loads(archive(pods.store))["entries"]
    assert {each["generation"] for each in entries} == set(range(last + 1))

    # Its end stands, also for those who have more patience.
    before = objects(pods.store)
    assert search(parameters={"patience": "0"}, **LONG).run() == "Succeeded"
    assert objects(pods.store) == before


def test_an_early_end_is_the_same_after_an_interruption(
    search: Search, pods: Pods, tmp_path: Path
) -> None:
    pods.failures = {("propose-finals", None): list(LOST)}
    assert search(parameters={"patience": "1"}, **LONG).run() == "Failed"
    ended = generations_of(pods.store)
    assert len(ended) < 4
    pods.failures = {}
    # Not finished for somebody with more patience: nothing is compared or reported too early.
    with pytest.raises(InputError, match="generation 2 is not selected yet"):
        steps.propose_finals(str(pods.store), "tiny", 1)
    with pytest.raises(InputError, match="unfinished"):
        steps.report(str(pods.store), "tiny")
    assert search(parameters={"patience": "1"}, **LONG).run() == "Succeeded"
    assert generations_of(pods.store) == ended


def test_a_run_whose_finals_are_begun_is_at_its_end(search: Search, pods: Pods) -> None:
    pods.failures = {("evaluate-finals", "0"): list(LOST)}
    assert search(parameters={"patience": "1"}, **LONG).run() == "Failed"
    ended = generations_of(pods.store)
    assert len(ended) < 4
    pods.failures = {}
    assert search(parameters={"patience": "0"}, **LONG).run() == "Succeeded"
    assert generations_of(pods.store) == ended


def test_what_is_begun_is_finished_before_an_early_end(search: Search, pods: Pods) -> None:
    tiny_run.start(pods.store, **LONG)
    for number in (0, 1):
        tiny_run.generation(pods.store, number)
    assert steps.next_turn(str(pods.store), "tiny", 1) == "end"
    steps.propose(str(pods.store), "tiny", 2, 3)
    assert steps.next_turn(str(pods.store), "tiny", 1) == "002"
    assert search(parameters={"patience": "1"}, **LONG).run() == "Succeeded"
    assert (pods.store / "runs/tiny/generations/002/population.json").exists()


def test_scores_of_another_protocol_are_no_measure_of_progress(
    pods: Pods, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = tiny_config(**LONG)
    first = plain.protocol.model_copy(update={"seeds": (3,)})
    config = plain.model_copy(update={"initial_protocol": first})
    steps.initialise(str(pods.store), "tiny", config.model_dump_json())
    for number in (0, 1):
        tiny_run.generation(pods.store, number)
    # However much worse generation 1 looks, it is the first under the run's own protocol.
    path = pods.store / "runs/tiny/generations/000/population.json"
    population = Population.model_validate_json(path.read_bytes())
    better = [each.model_copy(update={"fitness": 1.0}) for each in population.particles]
    changed = population.model_copy(update={"particles": tuple(better)})
    path.unlink()
    path.write_text(changed.model_dump_json())
    assert steps.next_generation(str(pods.store), "tiny", 1) == 2


@pytest.mark.parametrize(
    ("bests", "since"),
    [
        ([], 0),
        ([0.5], 0),
        ([None], 0),
        ([0.5, 0.6], 0),
        ([0.5, 0.5], 1),
        ([0.5, 0.4, 0.45], 2),
        ([0.5, 0.4, 0.51, 0.2], 1),
        ([None, None], 1),
        ([None, 0.1], 0),
        ([0.1, None], 1),
    ],
)
def test_generations_without_improvement(bests: list[float | None], since: int) -> None:
    def population(number: int, best: float | None) -> Population:
        particles = [
            Particle(
                particle=place,
                id="a",
                formula="g",
                gene={},
                fitness=fitness,
                validation_loss=None,
                generation=number,
            )
            for place, fitness in enumerate((None, best))
        ]
        return Population(generation=number, particles=tuple(particles))

    found = generations_without_improvement(
        [population(number, best) for number, best in enumerate(bests)]
    )
    assert found == since


# Many generations


class Counting:
    """Pods of a run with so many generations, which train nothing."""

    def __init__(self, generations: int) -> None:
        self.last = generations
        self.seen: list[int] = []

    def __call__(self, name: str, arguments: list[str], attempts: int) -> Attempt:
        if name == "initialise":
            return Attempt(out="000\n")
        if name.startswith("propose"):
            return Attempt(out="[0, 1]")
        if name == "select":
            number = int(arguments[arguments.index("--generation") + 1])
            self.seen.append(number)
            return Attempt(out="end" if number == self.last else f"{number + 1:03d}")
        return Attempt()


@pytest.mark.parametrize("generations", [0, TURNS - 1, TURNS, 2 * TURNS, 999])
def test_every_generation_is_done_once(generations: int) -> None:
    pods = Counting(generations)
    engine = Engine(made(), pods, store="s", run="tiny")
    assert engine.run() == "Succeeded"
    assert pods.seen == list(range(generations + 1))
    assert engine.deepest == 3 + generations // TURNS + 1


def test_the_longest_run_stays_below_the_limit_of_recursion() -> None:
    engine = Engine(made(), Counting(999), store="s", run="tiny", limit=RECURSION_LIMIT)
    assert engine.run() == "Succeeded"
    assert engine.deepest == DEPTH < RECURSION_LIMIT - 10
    with pytest.raises(RefusedError, match="recursion"):
        Engine(made(), Counting(999), store="s", run="tiny", limit=DEPTH).run()
