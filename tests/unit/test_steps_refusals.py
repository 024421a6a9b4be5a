"""What steps refuse: inputs that are not there yet, are broken, or are not those of the run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from image_files import classes, folder
from tiny_run import finals, generation, objects, start, tiny_config

from evoptim import steps
from evoptim.config import RunConfig, TaskSpec
from evoptim.errors import InfrastructureError, InputError
from evoptim.steps.initialise import resolve_data

pytestmark = pytest.mark.usefixtures("image_cache")


Step = Callable[[str, str], object]
STEPS: dict[str, Step] = {
    "propose": lambda url, run: steps.propose(url, run, 0, 3),
    "propose-finals": lambda url, run: steps.propose_finals(url, run, 3),
    "evaluate": lambda url, run: steps.evaluate(url, run, 0, 0, 3),
    "evaluate-finals": lambda url, run: steps.evaluate_finals(url, run, 0, 3),
    "select": lambda url, run: steps.select(url, run, 0),
    "report": steps.report,
}


def refusal(call: Callable[[], object], kind: type[Exception] = InputError) -> str:
    with pytest.raises(kind) as told:
        call()
    assert "\n" not in str(told.value)
    return str(told.value)


@pytest.mark.parametrize("step", STEPS)
def test_an_unknown_run_is_refused_and_nothing_is_written(step: str, tmp_path: Path) -> None:
    line = refusal(lambda: STEPS[step](str(tmp_path), "other"))
    assert line.startswith(f"there is no run 'other' in {tmp_path}: check --store and --run")
    assert objects(tmp_path) == {}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("run", ["", "My Run", "../up", "a" * 64])
def test_a_name_that_no_run_can_have_is_refused(step: str, run: str, tmp_path: Path) -> None:
    assert "a run name must be 1 to 63" in refusal(lambda: STEPS[step](str(tmp_path), run))


def test_evaluating_before_proposing_is_refused(tmp_path: Path) -> None:
    start(tmp_path)
    for step, stage in (("evaluate", "generations/000"), ("evaluate-finals", "finals")):
        assert refusal(lambda step=step: STEPS[step](str(tmp_path), "tiny")) == (
            f"{stage} of the run 'tiny' has no candidates yet: run its propose step first"
        )


def test_selecting_before_proposing_is_refused(tmp_path: Path) -> None:
    start(tmp_path)
    assert "run its propose step first" in refusal(lambda: STEPS["select"](str(tmp_path), "tiny"))


def test_selecting_before_evaluating_is_refused_and_can_be_repeated(tmp_path: Path) -> None:
    start(tmp_path, search__generations=0)
    steps.propose(str(tmp_path), "tiny", 0, 2)
    steps.evaluate(str(tmp_path), "tiny", 0, 0, 2)
    line = refusal(lambda: STEPS["select"](str(tmp_path), "tiny"), InfrastructureError)
    assert line.startswith("3 of 5 evaluations are missing (2, 3, 4)")
    assert not list(tmp_path.rglob("population.json"))
    generation(tmp_path, 0)


def test_proposing_children_before_selecting_their_parents_is_refused(tmp_path: Path) -> None:
    start(tmp_path)
    assert refusal(lambda: steps.propose(str(tmp_path), "tiny", 1, 2)) == (
        "generation 0 of the run 'tiny' has no population yet: run its select step first"
    )


def test_a_report_of_an_unfinished_run_is_refused_since_it_could_not_be_changed(
    tmp_path: Path,
) -> None:
    start(tmp_path)
    for number in (0, 1):
        generation(tmp_path, number)
        line = refusal(lambda: steps.report(str(tmp_path), "tiny"))
        told = f"unfinished: {number + 1} of 2 generations are selected, the finals not begun"
        assert line.startswith(f"the run 'tiny' is {told}")
        assert not (tmp_path / "runs/tiny/report").exists()
    finals(tmp_path)
    steps.report(str(tmp_path), "tiny")


def test_a_report_waits_for_every_finalist(store: Path) -> None:
    shutil.rmtree(store / "runs/tiny/report")
    (store / "runs/tiny/finals/evaluations/00001.json").unlink()
    line = refusal(lambda: steps.report(str(store), "tiny"), InfrastructureError)
    assert line.startswith("1 of 3 evaluations are missing (1)")


def test_a_summary_before_the_report_is_refused(tmp_path: Path) -> None:
    start(tmp_path)
    assert refusal(lambda: steps.summary(str(tmp_path), "tiny")) == (
        "the run 'tiny' has no summary yet: run its report step first"
    )


@pytest.mark.parametrize("chunk", [-1, 2, 100])
def test_a_chunk_that_there_is_not_is_refused(chunk: int, finished: Path) -> None:
    line = refusal(lambda: steps.evaluate(str(finished), "tiny", 0, chunk, 3))
    assert f"5 candidates in chunks of 3 have the chunks 0 to 1, got {chunk}" in line


@pytest.mark.parametrize("size", [0, -3])
def test_chunks_of_nothing_are_refused(size: int, finished: Path) -> None:
    expected = f"candidates_per_task must be at least 1, got {size}"
    assert refusal(lambda: steps.propose(str(finished), "tiny", 0, size)) == expected
    assert refusal(lambda: steps.evaluate(str(finished), "tiny", 0, 0, size)) == expected


@pytest.mark.parametrize("number", [-1, 1_000])
def test_a_generation_that_cannot_be_is_refused(number: int, finished: Path) -> None:
    line = refusal(lambda: steps.propose(str(finished), "tiny", number, 1))
    assert f"a generation must be from 0 to 999, got {number}" in line


@pytest.mark.parametrize("workers", ["", "0", "-1", "two", "1.5"])
def test_a_number_of_workers_that_is_none_is_refused(
    workers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(tmp_path)
    steps.propose(str(tmp_path), "tiny", 0, 5)
    monkeypatch.setenv("EVOPTIM_WORKERS", workers)
    line = refusal(lambda: STEPS["evaluate"](str(tmp_path), "tiny"))
    assert line == f"EVOPTIM_WORKERS is a whole number of at least 1, got {workers!r}"


BROKEN: dict[str, Step] = {
    "config.json": STEPS["evaluate"],
    "generations/000/candidates.json": STEPS["propose"],
    "generations/000/evaluations/00001.json": STEPS["select"],
    "generations/000/population.json": lambda url, run: steps.propose(url, run, 1, 3),
    "finals/candidates.json": STEPS["evaluate-finals"],
    "finals/evaluations/00000.json": STEPS["report"],
    "report/summary.json": steps.summary,
}
MADE_OF_IT = {
    "generations/000/evaluations/00001.json": "generations/000/population.json",
    "generations/000/population.json": "generations/001/candidates.json",
    "finals/evaluations/00000.json": "report/index.html",
}


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"", bytes.upper]
)
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_object_is_refused_by_name_and_left_as_it_is(
    name: str, damage: Callable[[bytes], bytes], store: Path
) -> None:
    (store / "runs/tiny" / MADE_OF_IT.get(name, "none")).unlink(missing_ok=True)
    path = store / "runs/tiny" / name
    path.write_bytes(damage(path.read_bytes()))
    before = objects(store)
    line = refusal(lambda: BROKEN[name](str(store), "tiny"))
    assert f"runs/tiny/{name} is not: " in line
    assert "remove that object and run the same command again" in line
    assert objects(store) == before


def test_a_broken_shared_evaluation_is_refused_by_name(store: Path) -> None:
    (path,) = (store / "evaluations/adam").iterdir()
    path.write_bytes(path.read_bytes()[:100])
    start(store, "again")
    for number in (0, 1):
        generation(store, number, "again")
    steps.propose_finals(str(store), "again", 3)
    line = refusal(lambda: steps.evaluate_finals(str(store), "again", 0, 3))
    assert f"evaluations/adam/{path.name} is not: " in line


def test_an_evaluation_of_something_else_is_refused(store: Path) -> None:
    shutil.rmtree(store / "runs/tiny/report")
    folder = store / "runs/tiny/finals/evaluations"
    shutil.copy(folder / "00001.json", folder / "00002.json")
    line = refusal(lambda: steps.report(str(store), "tiny"))
    assert "evaluation 2 of the finals must be of adam, got sgd" in line


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"seed": 1}, "seed is 0 there, 1 here"),
        ({"search.children": 3, "seed": 1}, "search.children is 2 there, 3 here"),
        ({"protocol.seeds": [0, 1]}, "protocol.seeds is [0] there, [0, 1] here"),
        ({"baselines": []}, "baselines is ['sgd', 'adam'] there, [] here"),
        (
            {"search.sampling.unary": {"neg": 0.5}},
            "search.sampling.unary.neg is None there, 0.5 he",
        ),
        ({"initial_protocol": "quickstart"}, "initial_protocol is None there, {'"),
    ],
)
def test_another_configuration_for_the_same_run_names_the_first_difference(
    changes: dict[str, Any], difference: str, finished: Path
) -> None:
    before = objects(finished)
    given = {name.replace(".", "__"): value for name, value in changes.items()}
    line = refusal(lambda: start(finished, **given))
    assert f"the run 'tiny' exists with another configuration ({difference}" in line
    assert "choose another name with --run, or give the same configuration" in line
    assert objects(finished) == before


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "configuration: Invalid JSON: EOF"),
        ("{", "configuration: Invalid JSON: EOF"),
        ("[]", "configuration: Input should be an object, got []"),
        ("{}", "configuration: search: this setting is required (and 1 more)"),
        (
            tiny_config().model_dump_json().replace('"children":2', '"children":0'),
            "configuration: search.children: Input should be greater than or equal to 1, got 0",
        ),
        (
            tiny_config().model_dump_json().replace('"seed":0,', '"sed":0,'),
            "configuration: sed: there is no such setting; choose among seed, search",
        ),
    ],
)
def test_a_text_that_is_no_configuration_is_refused(text: str, says: str, tmp_path: Path) -> None:
    assert refusal(lambda: steps.initialise(str(tmp_path), "tiny", text)).startswith(says)
    assert objects(tmp_path) == {}


def test_data_that_are_missing_or_too_few_are_refused_before_anything_is_written(
    tmp_path: Path,
) -> None:
    for task in (
        {"name": "imagefolder", "data": str(tmp_path / "nowhere")},
        {"name": "imagefolder", "data": None},
        {"name": "digits", "train": 5_000},
        {"name": "digits", "data": "somewhere"},
    ):
        assert refusal(lambda task=task: start(tmp_path, protocol__task=task))
    assert objects(tmp_path) == {}


def imagefolder(data: str, **more: Any) -> RunConfig:
    config = tiny_config()
    task = TaskSpec(name="imagefolder", data=data, train=8, validation=4, test=4, **more)
    return config.model_copy(update={"protocol": config.protocol.model_copy(update={"task": task})})


def test_resolved_data_have_a_fingerprint_and_an_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder(tmp_path / "images", classes(10))
    monkeypatch.chdir(tmp_path)
    seen: list[tuple[int, int]] = []
    task = resolve_data(imagefolder("images"), lambda *at: seen.append(at)).protocol.task
    assert task.data == str(tmp_path / "images")
    assert task.fingerprint is not None
    assert len(task.fingerprint) == 64
    assert seen
    assert seen[-1][0] == seen[-1][1]


def test_data_that_are_resolved_are_not_read_again(tmp_path: Path) -> None:
    given = imagefolder(str(tmp_path / "gone"), fingerprint="f" * 64)
    assert resolve_data(given) == given


def test_both_protocols_are_resolved() -> None:
    config = tiny_config(initial_protocol="quickstart")
    resolved = resolve_data(config)
    assert resolved.initial_protocol is not None
    assert resolved.initial_protocol.task.fingerprint
    assert resolved.protocol.task.fingerprint
    assert config.protocol.task.fingerprint is None


def test_images_that_changed_during_a_run_are_refused(tmp_path: Path) -> None:
    folder(tmp_path / "images", classes(10))
    store = tmp_path / "store"
    text = imagefolder(str(tmp_path / "images")).model_dump_json()
    steps.initialise(str(store), "tiny", text)
    steps.propose(str(store), "tiny", 0, 2)
    folder(tmp_path / "images", {"cat/000.png": classes(10)["dog/009.png"]})
    line = refusal(lambda: steps.evaluate(str(store), "tiny", 0, 0, 2))
    assert "are not those that the run began with" in line
    assert not list(store.rglob("evaluations"))
