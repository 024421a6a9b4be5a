from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from examined_cluster import sound
from kubernetes_api.scripted_engines import FakeCluster, fake_cluster

from pipelines import doctor as module
from pipelines.doctor import deep as deep_module
from pipelines.kubernetes_api import Patience


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeCluster]:
    """A cluster with nothing missing."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(module, "_PATIENCE", Patience(total=0.3, first=0.01, longest=0.05))
    monkeypatch.setattr(deep_module, "_POLL_SECONDS", 0.01)
    with fake_cluster() as fake:
        monkeypatch.setenv("KUBECONFIG", str(fake.kubeconfig(tmp_path)))
        sound(fake)
        yield fake


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir()
    return folder
