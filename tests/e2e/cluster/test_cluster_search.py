"""Whole searches with the Indexed Job fan-out, as the least-privilege account, in pods."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cluster_search import RUN, config_of, local_search, whole
from given_cluster import ARCHIVE, Namespace, is_worker
from programs import session
from small_search import evoptim

from pipelines.pod import RUN_LABEL

Object = dict[str, Any]


def test_a_search_leaves_the_archive_of_a_local_run(
    namespace: Namespace, store: str, expected: dict[int, bytes]
) -> None:
    profile = namespace.profile()
    pod = namespace.start_session(RUN, *whole(store, profile, config_of()))
    log = namespace.finish(pod)
    for stage in ("generations/000", "generations/001", "finals"):
        assert f"{stage}: created the Job" in log, log[-4000:]
    assert namespace.archive(store, RUN) == expected[0]

    jobs = namespace.jobs(store, RUN)
    assert len(jobs) == 3
    for job in jobs:
        assert job["spec"]["completionMode"] == "Indexed"
        assert {each["type"] for each in job["status"]["conditions"]} >= {"Complete"}
    pods = [each for job in jobs for each in namespace.workers(job)]
    assert pods
    for each in pods:
        assert is_worker(each)
        spec = each["spec"]
        assert spec["serviceAccountName"] == "evoptim-worker"
        mounts = [mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]]
        assert not any("serviceaccount" in path for path in mounts)
    watcher = namespace.read(namespace.path("pods", pod)) or {}
    assert watcher["spec"]["serviceAccountName"] == "evoptim-search"


def test_two_searches_in_one_namespace_do_not_meet(
    namespace: Namespace, expected: dict[int, bytes]
) -> None:
    """They have one name, and nothing but their stores and seeds tells them apart."""
    profile = namespace.profile()
    stores = {seed: namespace.new_store() for seed in expected}
    pods = [
        namespace.start_session(RUN, *whole(store, profile, config_of(seed)))
        for seed, store in stores.items()
    ]
    for pod in pods:
        namespace.finish(pod)
    for seed, store in stores.items():
        assert namespace.archive(store, RUN) == expected[seed]
    names = [
        {job["metadata"]["name"] for job in namespace.jobs(store, RUN)} for store in stores.values()
    ]
    assert [len(each) for each in names] == [3, 3]
    assert not names[0] & names[1]
    assert len(namespace.list(namespace.jobs_path(), **{RUN_LABEL: RUN})) == 6


def test_a_search_on_this_machine_leaves_the_same_archive(
    namespace: Namespace, expected: dict[int, bytes], tmp_path: Path
) -> None:
    (line,) = (
        line
        for line in namespace.run_session(RUN, {"facts": True}).splitlines()
        if line.startswith(session.FACTS)
    )
    there, here = json.loads(line.partition(" ")[2]), session.facts()
    if there != here:
        pytest.skip(f"the last bits of a result need not agree: {there} in the image, {here} here")
    done = evoptim(*local_search("store"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "store" / "runs" / RUN / ARCHIVE).read_bytes() == expected[0]
