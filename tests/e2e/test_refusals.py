"""What is refused: one clear line, exit code 2, nothing lost."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
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
