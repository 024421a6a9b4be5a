"""A whole small search by its steps, each stage in an Indexed Job whose pods are real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import tiny_run
from kubernetes_api.scripted import FakeKubernetes, fake_kubernetes

from evoptim.cache import CACHE_VARIABLE
from pipelines.profile import ClusterProfile

ROOT = Path(__file__).resolve().parents[2]


def evoptim(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line of this very tree."""
    return subprocess.run(
        [sys.executable, "-c", "from evoptim.cli import main; main()", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def run_pods(kube: FakeKubernetes, job: Any) -> None:
    """Run the containers of a Job, each with its own arguments and variables."""
    (container,) = job["spec"]["template"]["spec"]["containers"]
    cache = os.environ[CACHE_VARIABLE]

    def pod(index: int, told: dict[str, str]) -> int:
        assert container["command"] == ["evoptim"]
        here = {**{key: value for key, value in told.items() if value}, "HOME": str(Path.home())}
        variables = {**here, CACHE_VARIABLE: cache, "JOB_COMPLETION_INDEX": str(index)}
        variables.pop("TMPDIR")
        done = evoptim(*container["args"], **variables)
        assert done.returncode == 0, done.stderr
        return done.returncode

    threading.Thread(target=kube.run_indices, args=(job, pod), daemon=True).start()


@pytest.mark.slow
def test_a_search_in_jobs_leaves_the_records_of_one_in_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    expected, store = tmp_path / "expected", tmp_path / "store"
    tiny_run.start(expected)
    tiny_run.finish(expected)
    tiny_run.start(store)
    where = ("--store", str(store), "--run", "tiny")
    size = ("--candidates-per-task", "3")
    profile = tmp_path / "profile.json"
    profile.write_text(ClusterProfile().canonical_json())

    with fake_kubernetes() as kube:
        monkeypatch.setenv("KUBECONFIG", str(kube.kubeconfig(tmp_path)))
        kube.on_create = lambda job: run_pods(kube, job)

        def step(name: str, *arguments: str) -> str:
            done = evoptim("step", name, *where, *arguments)
            assert done.returncode == 0, done.stderr
            return done.stdout

        for number in ("0", "1"):
            generation = ("--generation", number)
            given = (*generation, *size, "--profile-json", profile.read_text())
            assert step("generation", *given) == {"0": "001\n", "1": "end\n"}[number]
        step("propose-finals", *size)
        told = step("evaluate-finals-fanout", *size, "--profile-json", f"@{profile}")
        assert "finals: 1 of 1 chunks evaluated" in told
        # Again: nothing is left to do.
        assert step("generation", *given) == "end\n"
        step("report")
        assert len(kube.created) == 3
    assert tiny_run.deterministic(store) == tiny_run.deterministic(expected)


def test_what_is_wrong_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    tiny = ("--store", str(tmp_path), "--run", "tiny", "--generation", "0")
    for arguments, line in (
        (("--profile-json", "{}"), "there is no run 'tiny' in"),
        (("--profile-json", "{"), "error: profile: Invalid JSON"),
        (("--profile-json", "@none.yaml"), "the profile 'none.yaml' cannot be read"),
        (("--profile-json", '{"speed": 1}'), "error: profile: speed: there is no such setting"),
    ):
        done = evoptim("step", "generation", *tiny, *arguments)
        assert done.returncode == 2
        assert line in done.stderr
        assert len(done.stderr.splitlines()) == 1
