"""What a search refuses: exit code 2, one line that names the value and the remedy, nothing lost.

Most of it happens before any training, so the command line runs in this process, which has its
imports behind it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from image_files import archive, noise
from s3_server import BUCKET, S3Server, User, serve_s3
from small_search import (
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


def assert_refused(done: subprocess.CompletedProcess[str], *says: str) -> None:
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    assert done.stdout == ""
    (line,) = lines(done.stderr)
    assert_says(line, *says)


def assert_says(line: str, *says: str) -> None:
    assert line.startswith("error: ")
    for text in says:
        assert text in line
    assert len(line) < 1000


@pytest.fixture(scope="session")
def clumsy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder full of broken files."""
    folder = tmp_path_factory.mktemp("clumsy")
    pictures = {
        f"{part}/{name}/{number:02}.png": noise(number)
        for part, count in (("train", 40), ("test", 10))
        for name in "ab"
        for number in range(count)
    }
    corrupt = {**pictures, "train/b/07.png": pictures["train/b/07.png"][:60]}
    archive(folder / "corrupt.zip", corrupt)
    sound = Path(archive(folder / "sound.zip", pictures)).read_bytes()
    (folder / "cut.zip").write_bytes(sound[: len(sound) // 2])
    (folder / "text.zip").write_text("this is no archive")
    archive(folder / "escaping.zip", {**pictures, "../train/a/99.png": noise(1)})
    (folder / "empty").mkdir()
    (folder / "typo.yaml").write_text("search: {initail: 3}\n")
    (folder / "broken.yaml").write_text("search: [\n")
    (folder / "text.yaml").write_text("just a text")
    (folder / "binary.yaml").write_bytes(bytes(range(256)))
    (folder / "huge.yaml").write_text("seed: 1 # " + "x" * 10_000_000)
    (folder / "tag.yaml").write_text("seed: !!python/object/apply:os.mkdir [pwned]\n")
    (folder / "preset.yaml").write_text("preset: fast\n")
    (folder / "a-file").write_text("in the way")
    return folder


SMALL = [
    word
    for setting in ("train=60", "validation=20", "test=20")
    for word in ("--set", f"protocol.task.{setting}")
]
CLUMSY = {
    "unknown preset": (["--preset", "fast"], "'fast'", "choose among"),
    "unknown preset in the file": (["--config", "preset.yaml"], "'fast'", "choose among"),
    "unknown task": (["--task", "mnist"], "protocol.task.name", "'mnist'", "'digits'"),
    "missing data": (["--task", "cifar10", "--data", "nowhere.zip"], "nowhere.zip", "check"),
    "no data": (["--task", "imagefolder"], "imagefolder", "needs"),
    "data that a task does not take": (["--data", "sound.zip"], "digits", "leave it out"),
    "a zip that is none": (["--task", "imagefolder", "--data", "text.zip"], "text.zip", "zip"),
    "half a zip": (["--task", "imagefolder", "--data", "cut.zip"], "cut.zip", "zip"),
    "a corrupt image": (
        ["--task", "imagefolder", "--data", "corrupt.zip", *SMALL],
        "train/b/07.png",
        "replace it",
    ),
    "a zip that escapes": (["--task", "imagefolder", "--data", "escaping.zip"], "../train/a/99"),
    "an empty folder": (["--task", "imagefolder", "--data", "empty"], "empty"),
    "typo in the file": (["--config", "typo.yaml"], "search.initail", "initial"),
    "no YAML": (["--config", "broken.yaml"], "no YAML"),
    "a text for YAML": (["--config", "text.yaml"], "just a text"),
    "a binary file": (["--config", "binary.yaml"], "binary.yaml", "UTF-8"),
    "ten megabytes": (["--config", "huge.yaml"], "65536"),
    "code": (["--config", "tag.yaml"], "tag"),
    "missing file": (["--config", "absent.yaml"], "absent.yaml", "No such file"),
    "a folder for a file": (["--config", "empty"], "empty"),
    "negative count": (["--set", "search.children=-1"], "search.children", "-1"),
    "zero": (["--set", "search.initial=0"], "search.initial", "0"),
    "more particles than candidates": (["--set", "search.particles=99"], "99"),
    "not a number": (["--set", "seed=.nan"], "seed", "nan"),
    "no setting": (["--set", "search.children"], "'search.children'", "path=value"),
    "a setting without a name": (["--set", "=3"], "'=3'", "path=value"),
    "a setting that does not exist": (["--set", "a.b.c=1"], "a.b.c"),
    "a setting that is no YAML": (["--set", "seed=[1"], "seed"),
    "bytes that are no text": (["--data", "\udcff.zip"], "\\udcff.zip", "UTF-8"),
    "a negative seed": (["--seed", "-1"], "seed", "-1"),
    "a seed that is a word": (["--seed", "one"], "--seed", "'one'", "search --help"),
    "no workers": (["--workers", "0"], "--workers", "search --help"),
    "an unknown option": (["--wrokers", "2"], "--wrokers", "--workers"),
    "a word too many": (["digits"], "digits", "search --help"),
    "a store that is a file": (["--store", "a-file"], "a-file", "choose another"),
    "a store below a file": (["--store", "a-file/store"], "a-file", "choose another"),
    "no store": (["--store", ""], "''", "give a path"),
    "a store of another kind": (["--store", "ftp://x"], "ftp://x", "s3://"),
    "a bucket without a name": (["--store", "s3://"], "bucket"),
    "a store that is no name": (["--store", "a\0b"], "store"),
    "bad run name": (["--run", "Not A Name"], "'Not A Name'", "first-run"),
    "a path for a run": (["--run", "../up"], "'../up'", "first-run"),
    "no run name": (["--run", ""], "''", "first-run"),
    "a long run name": (["--run", "a" * 64], "63"),
}


@pytest.mark.parametrize("case", CLUMSY)
def test_what_is_wrong_is_refused_before_anything_is_written(case: str, clumsy: Path) -> None:
    words, *says = CLUMSY[case]
    before = files(clumsy)
    assert_refused(here("search", *words, cwd=clumsy), *says)
    assert files(clumsy) == before
    assert not (clumsy / "evoptim-store").exists()
    assert not (clumsy / "pwned").exists()


def test_bytes_that_are_no_text_are_refused_by_the_program_too(clumsy: Path) -> None:
    done = evoptim("search", "--run", os.fsdecode(b"\xff\xfe"), cwd=clumsy)
    assert_refused(done, "\\udcff\\udcfe", "UTF-8")


def test_a_run_name_in_use_says_what_differs(finished: Finished) -> None:
    before = files(finished.store)
    done = here(*arguments("seed=5"), cwd=finished.folder)
    assert_refused(done, "'small'", "seed is 0 there, 5 here", "--run")
    assert files(finished.store) == before


def test_a_store_under_which_a_file_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "evoptim-store").mkdir()
    (tmp_path / "evoptim-store/runs").write_text("in the way")
    before = files(tmp_path)
    assert_refused(here(*arguments(), cwd=tmp_path), "runs")
    after = {name: data for name, data in files(tmp_path).items() if ".evoptim" not in name}
    assert after == before


@pytest.fixture(scope="module")
def guarded() -> Iterator[tuple[S3Server, User, User]]:
    """A server with a user who may do all and one who may do nothing."""
    with serve_s3() as server:
        server.create_bucket()
        yield server, *server.require_credentials()


def test_a_bucket_that_is_not_there(
    guarded: tuple[S3Server, User, User], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, allowed, _ = guarded
    for name, value in server.environment(allowed).items():
        monkeypatch.setenv(name, value)
    done = here(*arguments(), "--store", "s3://evoptim-testz/x", cwd=tmp_path)
    assert_refused(done, "'evoptim-testz'", "must exist")


@pytest.mark.parametrize("who", ["unknown", "wrong secret", "forbidden"])
def test_credentials_that_do_not_do(
    guarded: tuple[S3Server, User, User],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    who: str,
) -> None:
    server, allowed, forbidden = guarded
    user = {
        "unknown": User("AKIAUNKNOWNUNKNOWN00", "secret"),
        "wrong secret": User(allowed.access_key, "secret"),
        "forbidden": forbidden,
    }[who]
    for name, value in server.environment(user).items():
        monkeypatch.setenv(name, value)
    done = here(*arguments(), "--store", f"s3://{BUCKET}/x", cwd=tmp_path)
    assert_refused(done, BUCKET, "credentials")


def test_no_credentials_at_all(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    done = here(*arguments(), "--store", f"s3://{BUCKET}/x", cwd=tmp_path)
    assert_refused(done, "credentials", "AWS_ACCESS_KEY_ID")


def test_a_server_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = S3Server("http://127.0.0.1:9").environment()
    for name, value in {**settings, "AWS_MAX_ATTEMPTS": "1"}.items():
        monkeypatch.setenv(name, value)
    done = here(*arguments(), "--store", f"s3://{BUCKET}/x", cwd=tmp_path)
    assert_refused(done, "http://127.0.0.1:9", "AWS_ENDPOINT_URL")


TRUNCATED = {
    "config.json": ["step", "evaluate", "--generation", "0", "--chunk", "0"],
    "generations/001/candidates.json": ["step", "evaluate", "--generation", "1", "--chunk", "0"],
    "generations/001/evaluations/00001.json": ["step", "select", "--generation", "1"],
    "generations/001/population.json": ["step", "propose", "--generation", "2"],
    "finals/evaluations/00000.json": ["step", "report"],
}


@pytest.mark.parametrize("name", TRUNCATED)
@pytest.mark.parametrize("cut", ["in the middle", "to nothing"])
def test_a_truncated_object_is_named_and_computed_anew(
    finished: Finished, tmp_path: Path, name: str, cut: str
) -> None:
    store = tmp_path / "evoptim-store"
    # As after an interruption while generation 1 was evaluated.
    shutil.copytree(finished.store, store)
    run = store / "runs" / RUN
    shutil.rmtree(run / "report")
    finals = name.startswith("finals")
    if not finals:
        shutil.rmtree(run / "generations/002")
        shutil.rmtree(run / "finals")
    if name != "generations/001/population.json" and not finals:
        (run / "generations/001/population.json").unlink()
    broken = run / name
    data = broken.read_bytes()
    broken.write_bytes(data[: len(data) // 2] if cut == "in the middle" else b"")
    before = files(store)
    done = here(*TRUNCATED[name], "--run", RUN, cwd=tmp_path)
    assert_refused(done, name, "remove that object and run the same command again")
    assert files(store) == before
    broken.unlink()
    search_by_steps(str(store), small_config())
    assert records(store) == records(finished.store)


def test_a_truncated_shared_evaluation_is_named_and_computed_anew(
    finished: Finished, tmp_path: Path
) -> None:
    store = tmp_path / "evoptim-store"
    shutil.copytree(finished.store / "evaluations", store / "evaluations")
    first = json.loads((finished.run / "generations/000/candidates.json").read_bytes())
    (broken,) = (store / "evaluations" / first["candidates"][0]["id"]).iterdir()
    broken.write_bytes(broken.read_bytes()[:-20])
    (tmp_path / "c.json").write_text(small_config().model_dump_json())
    for words in (["initialise", "--config", "@c.json"], ["propose", "--generation", "0"]):
        assert here("step", *words, "--run", RUN, cwd=tmp_path).returncode == 0
    words = ["evaluate", "--run", RUN, "--generation", "0", "--chunk", "0"]
    done = here("step", *words, cwd=tmp_path)
    assert_refused(done, "evaluations/", "remove that object")
    broken.unlink()
    search_by_steps(str(store), small_config())
    assert records(store) == records(finished.store)


@pytest.mark.parametrize("name", ["summary.json", "archive.json"])
def test_a_truncated_report_is_written_anew(finished: Finished, tmp_path: Path, name: str) -> None:
    store = tmp_path / "evoptim-store"
    shutil.copytree(finished.store, store)
    broken = store / "runs" / RUN / "report" / name
    whole = broken.read_bytes()
    broken.write_bytes(whole[:100])
    words = arguments() if name == "summary.json" else ["results", "--run", RUN]
    assert_refused(here(*words, cwd=tmp_path), name, "remove that object")
    broken.unlink()
    search_by_steps(str(store), small_config())
    assert broken.read_bytes() == whole


@pytest.mark.slow
def test_a_refusal_within_the_pipeline_is_one_line_too(finished: Finished, tmp_path: Path) -> None:
    store = tmp_path / "evoptim-store"
    shutil.copytree(finished.store, store)
    run = store / "runs" / RUN
    shutil.rmtree(run / "report")
    broken = run / "generations/002/candidates.json"
    broken.write_bytes(broken.read_bytes()[:100])
    done = evoptim(*arguments(), cwd=tmp_path)
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    # A run that has lasted some time before it is refused has said how far it is.
    *progress, line = lines(done.stderr)
    assert all(f" of {PLANNED} evaluations" in each for each in progress)
    assert_says(line, "generations/002/candidates.json", "remove that object")
    broken.unlink()
    assert evoptim(*arguments(), cwd=tmp_path).returncode == 0
    assert records(store) == records(finished.store)
