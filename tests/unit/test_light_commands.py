"""Commands that compute nothing with tensors load nothing heavy.

torch alone takes a second and 200 MB, and selecting and watching are on every generation's path.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from cluster_run import RUN, remember
from kubernetes_api.scripted_engines import FakeCluster, fake_cluster

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "numpy", "scipy", "sklearn", "matplotlib", "jinja2", "kfp")

# One process for all of them: what a command has loaded is laid to that command alone.
_PROGRAM = """
import json, sys
from evoptim.cli import main
told, before = {}, set()
for name, arguments in json.loads(sys.argv[2]).items():
    code = None
    try:
        main(arguments)
    except SystemExit as end:
        code = end.code
    there = set(json.loads(sys.argv[3])) & set(sys.modules)
    told[name] = code, sorted(there - before)
    before = there
    with open(sys.argv[1], "w") as file:
        json.dump(told, file)
"""


@dataclass(frozen=True)
class Told:
    """What came of one command."""

    code: int | None
    loaded: list[str]


COMMANDS = {
    "--help": "",
    "results": "{run} --json",
    "status": "{run}",
    "logs": "{run}",
    "watch": "{run}",
    "cancel": "{run}",
    "step initialise": "{run} --config @{store}/runs/tiny/config.json",
    "step propose": "{run} --generation 1",
    "step evaluate": "{run} --generation 1 --chunk 0",
    "step generation": "{run} --generation 1 --profile-json @{profile}",
    "step select": "{run} --generation 1",
    "resume": "{run}",
    "submit --target argo": "{run} --profile {profile} --config {store}/runs/tiny/config.json",
    "doctor --target argo": "--profile {profile} --store {store}",
    "compile --target argo": "--profile {profile}",
    "compile --target kfp": "--profile {profile}",
}
NEEDS = {"compile --target kfp": ["kfp"]}
# A stopped run is no success, and neither is a cluster without a node.
ENDS = {"watch": 1, "doctor --target argo": 1}


@pytest.fixture(scope="module")
def told(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Told]]:
    """Every command on a run that lacks an evaluation, a population and its report."""
    folder = tmp_path_factory.mktemp("light")
    store = Path(shutil.copytree(finished, folder / "store"))
    generation = store / "runs" / RUN / "generations" / "001"
    lost = max((generation / "evaluations").iterdir())
    (generation / "population.json").unlink()
    shutil.rmtree(store / "runs" / RUN / "report")
    with fake_cluster() as cluster:
        profile = _stopped(cluster, store)

        def train(index: int, environment: dict[str, str]) -> int:
            shutil.copy(finished / lost.relative_to(store), lost)
            return 0

        cluster.controller(train)
        lost.unlink()
        yield _run(folder, store, profile, str(cluster.kubeconfig(folder)))


def _stopped(cluster: FakeCluster, store: Path) -> Path:
    """Let the run have been sent to the cluster and stopped there; the profile's file."""
    submission = remember(store, "argo", str(uuid.uuid4()), cluster.url, fan_out="job")
    cluster.workflows[submission.name] = {
        "metadata": {"name": submission.name, "uid": submission.engine_id},
        "spec": {"shutdown": "Terminate"},
        "status": {"phase": "Failed"},
    }
    path = store.parent / "profile.yaml"
    path.write_text(submission.profile.model_dump_json())
    return path


def _run(folder: Path, store: Path, profile: Path, kubeconfig: str) -> Mapping[str, Told]:
    names = {"run": f"--run {RUN} --store {store}", "store": store, "profile": profile}
    lines = {
        name: [*name.split(), *more.format_map(names).split()] for name, more in COMMANDS.items()
    }
    known = ("KUBERNETES_SERVICE_HOST", "KFP_ENDPOINT", "EVOPTIM_STORE")
    environment = {name: value for name, value in os.environ.items() if name not in known}
    environment |= {"KUBECONFIG": kubeconfig, "PYTHONPATH": str(ROOT)}
    arguments = (str(folder / "told.json"), json.dumps(lines), json.dumps(HEAVY))
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((folder / "told.json").read_text())
    return {name: Told(*each) for name, each in found.items()}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_computes_nothing_loads_nothing_heavy(
    told: Mapping[str, Told], command: str
) -> None:
    assert told[command].loaded == NEEDS.get(command, [])
    assert told[command].code == ENDS.get(command, 0)
