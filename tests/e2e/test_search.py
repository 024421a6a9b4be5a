"""A whole search through the real pipeline: what it leaves, what survives, what is refused."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
import zipfile
from pathlib import Path

import pytest
from s3_server import serve_s3
from small_search import PLANNED, arguments, command, contents, evoptim

from evoptim import steps
from evoptim.genome import Genome
from evoptim.records import Archive


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which a small search has run without interruption."""
    folder = tmp_path_factory.mktemp("search")
    done = evoptim(*arguments(), cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "Evolved 1" in done.stdout
    return folder


def store_of(folder: Path) -> Path:
    return folder / "evoptim-store"


def archive_bytes(folder: Path, run: str = "small") -> bytes:
    return (store_of(folder) / f"runs/{run}/report/archive.json").read_bytes()


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_it_evaluates_everything_that_was_planned(finished: Path) -> None:
    archive = Archive.model_validate_json(archive_bytes(finished))
    assert len(archive.entries) + len(archive.baselines) == PLANNED
    assert len({entry.candidate.id for entry in archive.entries}) == PLANNED - 2
    assert [entry.rank for entry in archive.entries] == list(range(1, PLANNED - 1))


def test_it_leaves_a_report_and_a_champion_that_can_be_imported(finished: Path) -> None:
    report = store_of(finished) / "runs/small/report"
    assert "</html>" in (report / "index.html").read_text()
    champion = Genome.from_json((report / "champion.json").read_bytes())
    best = Archive.model_validate_json(archive_bytes(finished)).entries[0]
    assert champion.id == best.candidate.id
    code = (
        "import torch, champion\n"
        "w = torch.nn.Parameter(torch.ones(3)); o = champion.optimizer([w], total_steps=5)\n"
        "for _ in range(5): w.grad = torch.ones(3); o.step()\n"
        "print(champion.GENOME.id)"
    )
    done = subprocess.run(
        [*command()[:1], "-c", code], cwd=report, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == champion.id


def test_a_second_search_reuses_everything_and_changes_nothing(finished: Path) -> None:
    before = files(store_of(finished))
    done = evoptim(*arguments(), cwd=finished)
    assert done.returncode == 0
    assert "every evaluation was reused" in done.stdout
    assert files(store_of(finished)) == before


def test_steps_in_any_order_of_chunks_give_the_same_archive(finished: Path, tmp_path: Path) -> None:
    store = str(tmp_path / "evoptim-store")
    config = (store_of(finished) / "runs/small/config.json").read_text()
    steps.initialise(store, "small", config)
    for generation in range(3):
        chunks = steps.propose(store, "small", generation, 1)
        random.Random(generation).shuffle(chunks)
        for chunk in chunks:
            steps.evaluate(store, "small", generation, chunk, 1)
        steps.select(store, "small", generation)
    for chunk in steps.propose_baselines(store, "small", 2):
        steps.evaluate_baselines(store, "small", chunk, 2)
    steps.report(store, "small")
    assert contents(Path(store)) == contents(store_of(finished))
    assert archive_bytes(tmp_path) == archive_bytes(finished)


def test_another_run_of_the_same_configuration_trains_nothing(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(store_of(finished) / "evaluations", store_of(tmp_path) / "evaluations")
    store, config = str(store_of(tmp_path)), store_of(finished) / "runs/small/config.json"

    def refuse(jobs: list[object], workers: int) -> list[object]:
        assert not jobs, "an evaluation was not reused"
        return []

    monkeypatch.setattr("evoptim.steps.evaluate.evaluate_many", refuse)
    steps.initialise(store, "again", config.read_text())
    for generation in range(3):
        for chunk in steps.propose(store, "again", generation, 3):
            steps.evaluate(store, "again", generation, chunk, 3)
        steps.select(store, "again", generation)
    assert contents(store_of(tmp_path), "again").keys() < contents(store_of(finished)).keys()


def test_selection_does_not_look_at_test_results(finished: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(store_of(finished), store)
    generations = store / "runs/small/generations"
    want = {}
    for number in range(3):
        population = generations / f"{number:03d}/population.json"
        want[number] = population.read_bytes()
        population.unlink()
        for place, path in enumerate(sorted((generations / f"{number:03d}/evaluations").iterdir())):
            record = json.loads(path.read_bytes())
            record["test_accuracy"] = place / 100
            for training in record["trainings"]:
                training["test_accuracy"], training["test_loss"] = 1 - place / 100, float(place)
            path.write_text(json.dumps(record))
    for number in range(3):
        steps.select(str(store), "small", number)
        assert (generations / f"{number:03d}/population.json").read_bytes() == want[number]


def processes_of(group: int) -> list[str]:
    found = subprocess.run(
        ["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return [line for line in found if f"evoptim-e2e-{group}" in line]


def descendants(pid: int) -> list[int]:
    table = subprocess.run(
        ["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True
    ).stdout.split()[2:]
    pairs = list(zip(map(int, table[0::2]), map(int, table[1::2]), strict=True))
    found, todo = [], [pid]
    while todo:
        parent = todo.pop()
        children = [child for child, of in pairs if of == parent]
        found += children
        todo += children
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_killed_five_times_it_ends_with_the_same_archive(finished: Path, tmp_path: Path) -> None:
    rng = random.Random(0)
    for attempt in range(5):
        process = subprocess.Popen(
            command(*arguments()),
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(rng.uniform(3, 9))
        family = [process.pid, *descendants(process.pid)]
        # The command itself, then any process below it: engine, task or worker.
        victim = process.pid if attempt < 2 else rng.choice(family)
        if process.poll() is None and alive(victim):
            os.kill(victim, signal.SIGKILL)
        process.wait(timeout=120)
        deadline = time.monotonic() + 10
        while any(map(alive, family)) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert [pid for pid in family if alive(pid)] == []
    done = evoptim(*arguments(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert archive_bytes(tmp_path) == archive_bytes(finished)
    assert contents(store_of(tmp_path)) == contents(store_of(finished))


@pytest.mark.slow
def test_an_interrupt_stops_everything_and_says_how_to_continue(
    finished: Path, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        command(*arguments()), cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    time.sleep(7)
    family = descendants(process.pid)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "evaluations are kept" in printed
    assert "Run the same command again" in printed
    assert [pid for pid in family if alive(pid)] == []
    assert evoptim(*arguments(), cwd=tmp_path).returncode == 0
    assert archive_bytes(tmp_path) == archive_bytes(finished)


@pytest.mark.slow
def test_on_s3_it_gives_the_same_archive(finished: Path, tmp_path: Path) -> None:
    with serve_s3() as server:
        server.create_bucket()
        env = server.environment()
        where = ["--store", f"s3://{server.bucket}/some/prefix"]
        done = evoptim(*arguments(), *where, cwd=tmp_path, env=env)
        assert done.returncode == 0, done.stderr
        listed = evoptim("results", "--run", "small", "--json", *where, cwd=tmp_path, env=env)
        assert json.loads(listed.stdout) == json.loads(archive_bytes(finished))


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "4"])
def test_the_number_of_workers_changes_nothing(
    finished: Path, tmp_path: Path, workers: str
) -> None:
    done = evoptim(*arguments(), "--workers", workers, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert archive_bytes(tmp_path) == archive_bytes(finished)


REFUSALS = {
    "unknown preset": (["--preset", "fast"], "there is no preset 'fast'; choose among"),
    "unknown task": (["--task", "mnist"], "protocol.task.name"),
    "missing data": (["--task", "cifar10", "--data", "nowhere.zip"], "nowhere.zip"),
    "no zip": (["--task", "imagefolder", "--data", "no.zip"], "no.zip"),
    "corrupt image": (["--task", "imagefolder", "--data", "corrupt.zip"], "train/a/3.png"),
    "typo in the file": (["--config", "typo.yaml"], "serch"),
    "no YAML": (["--config", "broken.yaml"], "no YAML"),
    "binary file": (["--config", "binary.yaml"], "UTF-8"),
    "missing file": (["--config", "absent.yaml"], "absent.yaml"),
    "negative count": (["--set", "search.children=-1"], "search.children"),
    "no setting": (["--set", "search.children"], "path=value"),
    "no folder": (["--store", "a-file"], "a-file"),
    "bad run name": (["--run", "Not A Name"], "Not A Name"),
    "no store": (["--store", "ftp://x"], "ftp://x"),
}


@pytest.fixture(scope="session")
def clumsy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with broken files in it."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("clumsy")
    (folder / "no.zip").write_bytes(b"this is no archive")
    (folder / "typo.yaml").write_text("serch: {initial: 3}\n")
    (folder / "broken.yaml").write_text("search: [\n")
    (folder / "binary.yaml").write_bytes(bytes(range(256)))
    (folder / "a-file").write_text("in the way")
    Image.new("RGB", (16, 16)).save(folder / "image.png")
    with zipfile.ZipFile(folder / "corrupt.zip", "w") as archive:
        for name in "ab":
            for number in range(40):
                data = (folder / "image.png").read_bytes()
                broken = (name, number) == ("a", 3)
                archive.writestr(f"train/{name}/{number}.png", data[:30] if broken else data)
    return folder


@pytest.mark.parametrize("case", REFUSALS)
def test_what_is_wrong_is_refused_in_one_line(case: str, clumsy: Path) -> None:
    words, says = REFUSALS[case]
    before = files(clumsy)
    done = evoptim("search", *words, cwd=clumsy)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert done.stderr.startswith("error: ")
    assert says in done.stderr
    left = {name: value for name, value in files(clumsy).items() if ".evoptim" not in name}
    assert left == before


def test_a_run_with_another_configuration_is_refused(finished: Path) -> None:
    before = files(store_of(finished))
    done = evoptim(*arguments("small", "seed=5"), cwd=finished)
    assert done.returncode == 2
    assert "seed is 0 there, 5 here" in done.stderr
    assert "--run" in done.stderr
    assert files(store_of(finished)) == before


@pytest.mark.parametrize(
    "name", ["generations/001/candidates.json", "generations/001/evaluations/00001.json"]
)
def test_a_truncated_object_is_named_and_nothing_is_lost(
    finished: Path, tmp_path: Path, name: str
) -> None:
    shutil.copytree(finished, tmp_path / "copy")
    store = store_of(tmp_path / "copy")
    shutil.rmtree(store / "runs/small/report")
    (store / "runs/small/generations/001/population.json").unlink()
    broken = store / "runs/small" / name
    broken.write_bytes(broken.read_bytes()[:100])
    done = evoptim(*arguments(), cwd=tmp_path / "copy")
    assert done.returncode == 2, done.stderr
    assert name in done.stderr
    broken.unlink()
    assert evoptim(*arguments(), cwd=tmp_path / "copy").returncode == 0
    assert archive_bytes(tmp_path / "copy") == archive_bytes(finished)


def test_wrong_bucket_and_wrong_credentials_are_refused(tmp_path: Path) -> None:
    with serve_s3() as server:
        server.create_bucket()
        env = server.environment()
        wrong = evoptim(*arguments(), "--store", "s3://other-bucket/x", cwd=tmp_path, env=env)
        server.require_credentials()
        key = {**env, "AWS_ACCESS_KEY_ID": "WRONGWRONGWRONGWRONG", "AWS_SECRET_ACCESS_KEY": "wrong"}
        where = f"s3://{server.bucket}/x"
        refused = evoptim(*arguments(), "--store", where, cwd=tmp_path, env=key)
    for done, says in ((wrong, "other-bucket"), (refused, "credentials")):
        assert done.returncode == 2, done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
        assert says in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["show", "None ~ tanh(x)"], "position 12"),
        (["show", "small:999"], "ranks 1 to"),
        (["show", "absent.json"], "absent.json"),
        (["check", "g"], "position 0"),
        (["results", "--run", "other"], "there is no run 'other'"),
        (["report", "--run", "other"], "there is no run 'other'"),
        (["step", "select", "--run", "small", "--generation", "7"], "small"),
    ],
)
def test_other_verbs_refuse_in_one_line(finished: Path, words: list[str], says: str) -> None:
    done = evoptim(*words, cwd=finished)
    assert done.returncode in (1, 2)
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert says in done.stderr


def test_verbs_for_people_and_for_programs(finished: Path) -> None:
    ranking = json.loads(evoptim("results", "--run", "small", "--json", cwd=finished).stdout)
    assert ranking == json.loads(archive_bytes(finished))
    assert "Baselines" in evoptim("results", "--run", "small", cwd=finished).stdout
    shown = json.loads(evoptim("show", "small:1", "--json", cwd=finished).stdout)
    assert shown["id"] == ranking["entries"][0]["candidate"]["id"]
    text = evoptim("show", "Nest ~ bessel_i1e(arctan([(a13)*(a2)][g]))", cwd=finished).stdout
    assert "nesterov" in text
    assert evoptim("check", "None ~ id(g)", cwd=finished).returncode == 0
    assert evoptim("check", "None ~ id(2)", cwd=finished).returncode == 1
    assert evoptim("report", "--run", "small", "-o", "r.html", cwd=finished).returncode == 0
    assert "</html>" in (finished / "r.html").read_text()
    assert "pipelineInfo" in evoptim("compile", cwd=finished).stdout
    for verb in ("search", "results", "report", "show", "check", "compile", "step"):
        helped = evoptim(verb, "--help", cwd=finished)
        assert helped.returncode == 0
        assert "Usage" in helped.stdout
