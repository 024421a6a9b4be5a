"""The tests of real clusters, tried on a cluster of processes: that they test what they say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from kubernetes_api.toy import toy_cluster
from manifest_checks.rendering import command

ROOT = Path(__file__).resolve().parents[2]
TESTS = "tests/e2e/cluster"
PYTEST = (sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", TESTS)


@pytest.mark.slow
def test_rights_and_a_cancellation_hold_on_a_cluster_of_processes(tmp_path: Path) -> None:
    if command() is None:
        pytest.skip("neither kubectl nor kustomize is installed")
    with toy_cluster(tmp_path) as cluster:
        given = {
            "KUBECONFIG": str(cluster.kubeconfig()),
            "IMAGE": "evoptim:dev",
            "NAMESPACE": "evoptim-toy",
            "PYTHONPATH": str(ROOT),
        }
        done = subprocess.run(
            [*PYTEST, "-m", "cluster", "-k", "rights or cancel_leaves"],
            env={**os.environ, **given},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
        assert done.returncode == 0, done.stdout[-4000:]
        assert "24 passed" in done.stdout
        # The namespace goes with the tests that made it.
        assert "evoptim-toy" not in cluster.namespaces()


def test_without_a_cluster_every_test_says_why_it_is_skipped() -> None:
    named = ("KUBECONFIG", "IMAGE", "NAMESPACE", "STORE", "KFP_ENDPOINT")
    environment = {key: value for key, value in os.environ.items() if key not in named}
    done = subprocess.run(
        PYTEST,
        env={**environment, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert "no cluster is given: KUBECONFIG, IMAGE, NAMESPACE not set" in done.stdout
    assert "passed" not in done.stdout
