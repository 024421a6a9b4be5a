"""What the tests of the WorkflowTemplate share: its parts, and pods that do its work here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from argo_engine import Attempt, Engine
from click.testing import CliRunner
from tiny_run import deterministic, tiny_config

from evoptim.cli.main import main
from pipelines.argo import search_template
from pipelines.profile import ClusterProfile
from pipelines.profile_reading import read_profile

Object = dict[str, Any]

FAN_OUTS = ("loop", "job")

every_fan_out = pytest.mark.parametrize("fan_out", FAN_OUTS)

LOST = [Attempt(1, message="error: the data are gone")] * 50
"""Pods that fail whenever they are tried."""

# Something of everything that a profile may say.
FULL_PROFILE = """
namespace: research
image: registry.example/evoptim@sha256:0123
image_pull_secrets: [registry]
parallelism: 64
workers:
  resources: {gpu: 1}
  node_selector: {gpu/model: l4}
  node_affinity: [{expressions: [{key: zone, values: [a]}], weight: 5}]
  tolerations: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}]
  annotations: {team: optimizers}
mounts: [{kind: claim, name: images, path: /data, read_only: true}]
security: {run_as_user: 1000, fs_group: 1000}
queue: {name: evoptim, priority_class: high}
labels: {cost-centre: a1}
"""


def profiles() -> Iterator[ClusterProfile]:
    yield ClusterProfile()
    yield read_profile(FULL_PROFILE)


def made(fan_out: Any = "loop", profile: ClusterProfile | None = None) -> Object:
    return search_template(profile or ClusterProfile(), fan_out, tiny_config())


def template_of(workflow: Object, name: str) -> Object:
    (found,) = (each for each in workflow["spec"]["templates"] if each["name"] == name)
    return dict(found)


def pods_of(workflow: Object) -> list[Object]:
    return [each for each in workflow["spec"]["templates"] if "container" in each]


class Pods:
    """The cluster: runs every container's command here, and fails as it is told."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.ran: list[list[str]] = []
        self.outputs: list[tuple[str, str]] = []
        # Template, chunk or None for any: what becomes of its pods, first one first.
        self.failures: dict[tuple[str, str | None], list[Attempt | None]] = {}
        self.after: set[tuple[str, str | None]] = set()

    def __call__(self, name: str, arguments: list[str], attempts: int) -> Attempt:
        chunk = arguments[arguments.index("--chunk") + 1] if "--chunk" in arguments else None
        told = self.failures.get((name, chunk)) or self.failures.get((name, None)) or []
        failure = told.pop(0) if told else None
        if failure is not None and (name, chunk) not in self.after:
            return failure
        self.ran.append(arguments)
        result = CliRunner().invoke(main, arguments)
        self.outputs.append((name, result.output))
        return failure or Attempt(result.exit_code, result.stdout, result.stderr)

    def chunks(self, name: str) -> list[str]:
        """The chunks that a step was run for."""
        return [each[each.index("--chunk") + 1] for each in self.ran if each[1:2] == [name]]


Search = Callable[..., Engine]


Search = Callable[..., Engine]
"""Makes a workflow of the tiny run."""


def archive(store: Path) -> bytes:
    return (store / "runs/tiny/report/archive.json").read_bytes()


def assert_same_run(store: Path, wanted: Path) -> None:
    assert deterministic(store) == deterministic(wanted)
    assert archive(store) == archive(wanted)
