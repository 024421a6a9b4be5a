"""A cluster that misbehaves on demand, and a stage of five candidates to be evaluated there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_run
from fanout_drive import Drive
from kubernetes_api.scripted import FakeKubernetes, fake_kubernetes

from evoptim import steps
from pipelines.kubernetes_api import Cluster, Patience, connect


@pytest.fixture
def kube() -> Iterator[FakeKubernetes]:
    with fake_kubernetes() as cluster:
        yield cluster


@pytest.fixture
def cluster(kube: FakeKubernetes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setenv("KUBECONFIG", str(kube.kubeconfig(tmp_path)))
    return connect(Patience(total=5.0, first=0.01, longest=0.05))


@pytest.fixture
def proposed(tmp_path: Path, image_cache: None) -> Path:
    """A store with a run whose generation 0 has five candidates and no evaluation."""
    store = tmp_path / "store"
    tiny_run.start(store)
    steps.propose(str(store), "tiny", 0, 1)
    return store


@pytest.fixture
def drive(proposed: Path, cluster: Cluster) -> Drive:
    return Drive(proposed, cluster)
