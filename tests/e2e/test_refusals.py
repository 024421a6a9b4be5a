"""What is refused: one clear line, exit code 2, nothing lost."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest
from s3_server import BUCKET, serve_s3
from small_search import Finished, arguments, evoptim, files

SIZES = [
    part
    for setting in ("train=40", "validation=20", "test=20")
    for part in ("--set", f"protocol.task.{setting}")
]
REFUSALS = {
    "unknown preset": (["--preset", "fast"], "there is no preset 'fast'; choose among"),
    "unknown task": (["--task", "mnist"], "protocol.task.name"),
    "missing data": (["--task", "cifar10", "--data", "nowhere.zip"], "nowhere.zip"),
    "no zip": (["--task", "imagefolder", "--data", "no.zip"], "no.zip"),
    "corrupt image": (
        ["--task", "imagefolder", "--data", "corrupt.zip", *SIZES],
        "train/a/3.png",
    ),
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


def test_a_run_with_another_configuration_is_refused(finished: Finished) -> None:
    before = files(finished.store)
    done = evoptim(*arguments("seed=5"), cwd=finished.folder)
    assert done.returncode == 2
    assert "seed is 0 there, 5 here" in done.stderr
    assert "--run" in done.stderr
    assert files(finished.store) == before


@pytest.mark.parametrize(
    "name", ["generations/001/candidates.json", "generations/001/evaluations/00001.json"]
)
def test_a_truncated_object_is_named_and_nothing_is_lost(
    finished: Finished, tmp_path: Path, name: str
) -> None:
    shutil.copytree(finished.folder, tmp_path / "copy")
    store = tmp_path / "copy" / "evoptim-store"
    shutil.rmtree(store / "runs/small/report")
    (store / "runs/small/generations/001/population.json").unlink()
    broken = store / "runs/small" / name
    broken.write_bytes(broken.read_bytes()[:100])
    done = evoptim(*arguments(), cwd=tmp_path / "copy")
    assert done.returncode == 2, done.stderr
    assert name in done.stderr
    broken.unlink()
    assert evoptim(*arguments(), cwd=tmp_path / "copy").returncode == 0
    archive = "report/archive.json"
    assert (store / "runs/small" / archive).read_bytes() == (finished.run / archive).read_bytes()


def test_wrong_bucket_and_wrong_credentials_are_refused(tmp_path: Path) -> None:
    with serve_s3() as server:
        server.create_bucket()
        env = server.environment()
        wrong = evoptim(*arguments(), "--store", "s3://other-bucket/x", cwd=tmp_path, **env)
        server.require_credentials()
        key = {**env, "AWS_ACCESS_KEY_ID": "WRONGWRONGWRONGWRONG", "AWS_SECRET_ACCESS_KEY": "wrong"}
        where = f"s3://{BUCKET}/x"
        refused = evoptim(*arguments(), "--store", where, cwd=tmp_path, **key)
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
def test_other_verbs_refuse_in_one_line(finished: Finished, words: list[str], says: str) -> None:
    done = evoptim(*words, cwd=finished.folder)
    assert done.returncode in (1, 2)
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert says in done.stderr
