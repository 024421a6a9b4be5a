"""A step that watches a stage, in a process of its own, for tests that interrupt it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kubernetes_api.scripted import FakeKubernetes

ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def running(
    program: str, store: Path, kube: FakeKubernetes, folder: Path
) -> Iterator[subprocess.Popen[str]]:
    """The process of a program that is given a store; killed in the end if it still runs."""
    environment = {
        **os.environ,
        "KUBECONFIG": str(kube.kubeconfig(folder)),
        "PYTHONPATH": str(ROOT),
        "KUBERNETES_SERVICE_HOST": "somewhere",
        "HOSTNAME": "the-driver",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(store)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    yield process
    if process.poll() is None:
        process.kill()
        process.communicate()
