"""A whole search through the real pipeline: what it leaves, and that nothing else decides it."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
from pathlib import Path

import pytest
import torch
from image_files import archive, noise
from small_search import (
    BASELINES,
    FINALISTS,
    GENERATIONS,
    PLANNED,
    RUN,
    Finished,
    arguments,
    evoptim,
    files,
    here,
    lines,
    records,
    search_by_steps,
    small_config,
)

from evoptim import steps
from evoptim.analysis import Summary
from evoptim.config import RunConfig
from evoptim.genome import Genome
from evoptim.records import Archive, Candidate, Candidates, Evaluation, Population


def archive_of(found: Finished) -> Archive:
    return Archive.model_validate_json((found.run / "report/archive.json").read_bytes())


def champion_of(archive: Archive) -> Candidate:
    """The first of the finals that evolved, as the search knew it."""
    first = next(entry for entry in archive.finals if entry.candidate.role == "finalist")
    (found,) = (e for e in archive.entries if e.candidate.id == first.candidate.id)
    return found.candidate


def test_it_evaluates_everything_that_was_planned(searched: Finished) -> None:
    found = archive_of(searched)
    assert len(found.entries) + len(found.finals) == PLANNED
    assert len({e.candidate.id for e in found.entries}) == PLANNED - FINALISTS - len(BASELINES)
    assert [entry.rank for entry in found.entries] == list(range(1, len(found.entries) + 1))
    best = [entry.candidate.id for entry in found.entries[:FINALISTS]]
    assert {entry.candidate.id for entry in found.finals} == {*BASELINES, *best}
    assert all(entry.test_accuracy is None for entry in found.entries)
    assert all(entry.test_accuracy is not None for entry in found.finals)
    assert all(entry.fitness is not None for entry in found.entries[:2])


def test_every_child_descends_from_the_particle_before_it(searched: Finished) -> None:
    for generation in range(1, GENERATIONS + 1):
        folder = searched.run / "generations"
        before = (folder / f"{generation - 1:03d}/population.json").read_bytes()
        now = (folder / f"{generation:03d}/candidates.json").read_bytes()
        parents = {
            each.particle: each.id for each in Population.model_validate_json(before).particles
        }
        children = Candidates.model_validate_json(now).candidates
        assert len(children) == 4
        assert [each.parent for each in children] == [parents[each.particle] for each in children]


def test_it_prints_the_best_evolved_beside_the_baselines(searched: Finished) -> None:
    assert "Evolved 1" in searched.output
    assert "Adam" in searched.output
    (report,) = re.findall(r"^Report: (.*)$", searched.output, re.MULTILINE)
    assert "</html>" in Path(report).read_text(encoding="utf-8")
    assert Path(report).is_relative_to(searched.folder)


def test_a_terminal_shows_progress_on_one_line_with_an_estimate(searched: Finished) -> None:
    # What a terminal is told to erase is followed by what replaces it.
    frames = [
        re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", part)
        for part in re.split(r"\r|\x1b\[2K", searched.screen)
    ]
    shown = [frame.strip() for frame in frames if frame.strip()]
    assert any(
        re.search(rf"^generation 1 .* \d+/{PLANNED} \d:\d\d:\d\d left \d:\d\d:\d\d best ", frame)
        for frame in shown
    ), shown[-5:]
    assert "kfp" not in searched.screen.lower()
    # The one line feed is the one after the line, when it is taken away.
    assert searched.screen.count("\n") <= 2


def test_the_engines_noise_is_in_the_runs_log(searched: Finished) -> None:
    (log,) = (searched.run / "logs").iterdir()
    assert "Executing task" in log.read_text()


def test_it_leaves_a_report_and_a_champion_that_runs(searched: Finished) -> None:
    report = searched.run / "report"
    page = (report / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", page)
    champion = Genome.from_json((report / "champion.json").read_bytes())
    assert champion.id == champion_of(archive_of(searched)).id
    module = runpy.run_path(str(report / "champion.py"))
    assert module["GENOME"].id == champion.id
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = module["optimizer"]([weight], total_steps=5)
    for _ in range(5):
        weight.grad = torch.full((3,), 0.5)
        optimizer.step()
    assert not torch.equal(weight, torch.ones(3))


def test_a_second_search_reuses_everything_and_changes_nothing(searched: Finished) -> None:
    before = files(searched.store)
    again = here(*arguments(), cwd=searched.folder)
    assert again.returncode == 0, again.stderr
    assert "every evaluation was reused" in again.stdout
    assert "Evolved 1" in again.stdout
    assert files(searched.store) == before


@pytest.mark.parametrize("size", [1, 4])
def test_chunks_of_any_size_in_any_order_give_the_same_records(
    searched: Finished, tmp_path: Path, size: int
) -> None:
    search_by_steps(str(tmp_path), small_config(), size=size)
    assert records(tmp_path) == records(searched.store)


def test_a_task_that_runs_twice_changes_nothing(searched: Finished, tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    shutil.copytree(searched.store, store)
    before = files(tmp_path)
    search_by_steps(store, (searched.run / "config.json").read_text())
    assert files(tmp_path) == before


def test_the_steps_of_the_command_line_give_the_same_records_on_s3(
    searched: Finished, tmp_path: Path, s3_url: str
) -> None:
    """By hand, as any other workflow engine would call them."""

    def step(name: str, *words: str) -> str:
        done = here("step", name, "--store", s3_url, "--run", RUN, *words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout

    (tmp_path / "config.json").write_text(small_config().model_dump_json())
    step("initialise", "--config", "@config.json")
    for generation in range(GENERATIONS + 1):
        number, size = ("--generation", str(generation)), ("--candidates-per-task", "2")
        for chunk in reversed(json.loads(step("propose", *number, *size))):
            step("evaluate", *number, "--chunk", str(chunk), *size)
        step("select", *number)
    for chunk in json.loads(step("propose-finals")):
        step("evaluate-finals", "--chunk", str(chunk))
    step("report")
    assert records(s3_url) == records(searched.store)
    assert list(tmp_path.iterdir()) == [tmp_path / "config.json"]


def test_another_run_of_the_same_configuration_trains_nothing(
    searched: Finished, tmp_path: Path
) -> None:
    """Evaluations carry a mark that no training would leave."""
    shutil.copytree(searched.store / "evaluations", tmp_path / "evaluations")
    for path in (tmp_path / "evaluations").rglob("*.json"):
        record = json.loads(path.read_bytes())
        path.write_text(json.dumps({**record, "message": "planted"}))
    search_by_steps(str(tmp_path), small_config(), "again")
    evaluations = list((tmp_path / "runs/again").rglob("evaluations/*.json"))
    assert len(evaluations) == PLANNED
    for path in evaluations:
        assert Evaluation.model_validate_json(path.read_bytes()).message == "planted"


def test_a_reused_result_decides_as_a_computed_one(searched: Finished, tmp_path: Path) -> None:
    shutil.copytree(searched.store / "evaluations", tmp_path / "evaluations")
    search_by_steps(str(tmp_path), small_config(), "again")
    reused, computed = records(tmp_path, "again"), records(searched.store)
    for name in computed.keys() - {"report/archive.json"}:
        assert reused[name] == computed[name]


def test_selection_does_not_look_at_test_results(searched: Finished, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(searched.store, store)
    generations = store / "runs" / RUN / "generations"
    for number in range(GENERATIONS + 1):
        (generations / f"{number:03d}/population.json").unlink()
        for place, path in enumerate(sorted((generations / f"{number:03d}/evaluations").iterdir())):
            record = json.loads(path.read_bytes())
            record["test_accuracy"] = place / 100
            for training in record["trainings"]:
                training["test_accuracy"], training["test_loss"] = 1 - place / 100, float(place)
            path.write_text(json.dumps(record))
    for number in range(GENERATIONS + 1):
        steps.select(str(store), RUN, number)
        name = f"generations/{number:03d}/population.json"
        assert (store / "runs" / RUN / name).read_bytes() == (searched.run / name).read_bytes()


def test_garbled_test_labels_change_no_selection(tmp_path: Path) -> None:
    labels = {"sound": ("cat", "dog"), "garbled": ("dog", "cat")}
    found = {}
    for name, (first, second) in labels.items():
        pictures = {
            f"train/{label}/{n}.png": noise(1000 * place + n)
            for place, label in enumerate(("cat", "dog"))
            for n in range(50)
        } | {
            f"test/{label}/{n}.png": noise(5000 + 1000 * place + n)
            for place, label in enumerate((first, second))
            for n in range(15)
        }
        data = archive(tmp_path / f"{name}.zip", pictures)
        config = small_config(
            "protocol.task.name=imagefolder",
            f"protocol.task.data={data}",
            "protocol.task.image_size=null",
            "protocol.task.train=60",
            "protocol.task.validation=40",
            "protocol.task.test=30",
            "search.generations=1",
        )
        search_by_steps(str(tmp_path / name), config)
        found[name] = tmp_path / name / "runs" / RUN

    def finals(run: Path, *fields: str) -> list[tuple[object, ...]]:
        text = (run / "report/archive.json").read_bytes()
        archive = Archive.model_validate_json(text)
        return [tuple(getattr(each, field) for field in fields) for each in archive.finals]

    for path in ("generations/000/population.json", "generations/001/population.json"):
        assert (found["sound"] / path).read_bytes() == (found["garbled"] / path).read_bytes()
    # The finals measure them, and rank without looking.
    sound, garbled = found["sound"], found["garbled"]
    chosen = ("rank", "fitness", "rate")
    assert finals(sound, *chosen) == finals(garbled, *chosen)
    assert finals(sound, "test_accuracy") != finals(garbled, "test_accuracy")


def test_where_nothing_can_be_trained_the_report_says_so(tmp_path: Path) -> None:
    impossible = (
        "protocol.sweep.minimum_accuracy=1.0",
        "search.generations=1",
        "search.replacement=elitist",
    )
    store = tmp_path / "evoptim-store"
    search_by_steps(str(store), small_config(*impossible))
    done = here(*arguments(*impossible), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "No candidate could be trained" in done.stdout
    report = store / "runs" / RUN / "report"
    assert Summary.model_validate_json((report / "summary.json").read_bytes()).champion is None
    assert not (report / "champion.json").exists()
    assert "untrainable" in (report / "index.html").read_text(encoding="utf-8")


def test_a_search_may_be_as_small_as_can_be(tmp_path: Path) -> None:
    config = small_config(
        "search.initial=1",
        "search.particles=1",
        "search.children=1",
        "search.generations=0",
        "baselines=[]",
    )
    search_by_steps(str(tmp_path), config)
    found = Archive.model_validate_json((tmp_path / f"runs/{RUN}/report/archive.json").read_bytes())
    assert (len(found.entries), len(found.finals)) == (1, 1)


def test_the_configuration_in_the_store_starts_the_same_run(
    searched: Finished, tmp_path: Path
) -> None:
    text = (searched.run / "config.json").read_text()
    config = RunConfig.model_validate_json(text)
    assert config.protocol.task.fingerprint is not None
    # JSON is YAML: the file is a configuration as it is.
    (tmp_path / "c.yaml").write_text(text)
    words = ["--config", "c.yaml", "--run", RUN, "--store", str(searched.store)]
    again = here("search", *words, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "reused" in again.stdout


@pytest.mark.slow
def test_the_number_of_workers_changes_nothing(searched: Finished, tmp_path: Path) -> None:
    done = evoptim(*arguments(), "--workers", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert records(tmp_path / "evoptim-store") == records(searched.store)
    # No terminal: a plain line now and then.
    assert all(
        re.match(r"(starting|finals|generation \d|writing the report): ", line)
        for line in lines(done.stderr)
    )


@pytest.mark.slow
def test_on_s3_it_gives_the_same_archive(searched: Finished, tmp_path: Path, s3_url: str) -> None:
    done = evoptim(*arguments(), cwd=tmp_path, EVOPTIM_STORE=s3_url)
    assert done.returncode == 0, done.stderr
    assert f"Report: {s3_url}/runs/small/report/index.html" in done.stdout
    assert records(s3_url) == records(searched.store)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_colour_photographs_run_to_their_report(tmp_path: Path) -> None:
    where = Path(os.environ.get("EVOPTIM_DATA_DIR", "."), "cifar10-images.zip")
    if not where.exists():
        pytest.skip("EVOPTIM_DATA_DIR names no folder with cifar10-images.zip")
    small = arguments(
        "search.generations=1",
        "protocol.task.image_size=16",
        "protocol.augmentation=crop-flip-cutout",
        "protocol.normalisation=standard",
    )
    done = evoptim(*small, "--task", "cifar10", "--data", str(where), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "evoptim-store/runs" / RUN / "report/index.html").read_text("utf-8")
    assert "cifar10" in page
