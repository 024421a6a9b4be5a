"""What is installed from the wheel works by itself, from another folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_wheel_in_a_clean_environment_runs_a_search_from_another_folder(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", wheels, ROOT, cwd=tmp_path)
    wheel = next(wheels.glob("evoptim-*.whl"))
    run(sys.executable, "-m", "venv", tmp_path / "clean", cwd=tmp_path)
    bin_ = tmp_path / "clean" / "bin"
    constraints = ROOT / "constraints.txt"
    run(bin_ / "pip", "install", "-q", "-c", constraints, wheel, cwd=tmp_path)
    small = [
        # So small a search may have no candidate that the trial lets through.
        "screens.trial=null",
        "screens.duplicates=false",
        "search.initial=3",
        "search.particles=1",
        "search.children=1",
        "search.generations=1",
        "baselines=[sgd]",
    ]
    settings = [part for setting in small for part in ("--set", setting)]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    printed = run(bin_ / "evoptim", "search", "--run", "wheel", *settings, cwd=elsewhere)
    assert "Report: " in printed
    assert (elsewhere / "evoptim-store/runs/wheel/report/index.html").is_file()
