"""The tests of real clusters, tried on a cluster of processes: that they test what they say."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kubernetes_api.node import IMAGE
from kubernetes_api.toy import ToyCluster, toy_cluster
from manifest_checks.rendering import command
from s3_server import BUCKET, serve_s3

ROOT = Path(__file__).resolve().parents[2]
TESTS = "tests/e2e/cluster"
PYTEST = (sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", TESTS)


NAMESPACE = "evoptim-toy"


def try_on(cluster: ToyCluster, names: str, **more: str) -> str:
    """Run the cluster tests of these names on a cluster; returns what pytest prints."""
    given = {
        "KUBECONFIG": str(cluster.kubeconfig()),
        "IMAGE": IMAGE,
        "NAMESPACE": NAMESPACE,
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [*PYTEST, "-m", "cluster", "-rs", "-k", names],
        env={**os.environ, **given, **more},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )
    assert done.returncode == 0, done.stdout[-8000:]
    # The namespace goes with the tests that made it.
    deadline = time.monotonic() + 60.0
    while NAMESPACE in cluster.namespaces():
        assert time.monotonic() < deadline, "the namespace is still there"
        time.sleep(0.1)
    return done.stdout


@pytest.fixture
def renders() -> None:
    if command() is None:
        pytest.skip("neither kubectl nor kustomize is installed")


@pytest.mark.slow
@pytest.mark.usefixtures("renders")
def test_rights_and_a_cancellation_hold_on_a_cluster_of_processes(tmp_path: Path) -> None:
    """With the store that the tests bring along."""
    with toy_cluster(tmp_path) as cluster:
        told = try_on(cluster, "rights or cancel_leaves")
        assert "24 passed" in told
        assert "skipped" not in told


@pytest.mark.slow
@pytest.mark.usefixtures("renders")
def test_searches_and_faults_end_as_they_should_on_a_cluster_of_processes(tmp_path: Path) -> None:
    """With a store that is given, and Argo."""
    with serve_s3() as s3, toy_cluster(tmp_path, has_argo=True) as cluster:
        s3.create_bucket()
        # Argo with Jobs is what the commands are tried with.
        left_out = "cancel_leaves or on_this_machine or (template and job)"
        names = f"(search or faults or engines) and not ({left_out})"
        told = try_on(cluster, names, STORE=f"s3://{BUCKET}/toy", **s3.environment())
        assert "12 passed, 1 skipped" in told
        assert "KFP_ENDPOINT is not set" in told


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
