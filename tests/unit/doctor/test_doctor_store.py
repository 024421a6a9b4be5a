"""The store as the examination sees it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cluster_run import cluster_profile
from difficult_server import DENIED, Fault, Plan, Refusal, Rule, make_difficult
from examined_cluster import (
    NS,
    bad,
)
from kubernetes_api.scripted_engines import FakeCluster
from s3_server import BUCKET, S3Server, let_anybody_in, serve_s3

from evoptim.errors import InputError
from evoptim.store.s3 import S3Store
from evoptim.verbs import diagnose
from pipelines.doctor.storage import check_store


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with serve_s3() as server:
        server.create_bucket()
        yield server


def test_the_store_of_the_cluster_is_written_read_and_cleaned(
    cluster: FakeCluster, s3: S3Server, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    data = {**cluster.found[f"{NS}/configmaps/evoptim-store"]["data"]}
    cluster.found[f"{NS}/configmaps/evoptim-store"] = {
        "data": {**data, "EVOPTIM_STORE": f"s3://{BUCKET}/doctor"}
    }
    findings = list(diagnose(cluster_profile(store), "argo"))
    assert bad(findings) == []
    told = [each.told for each in findings if each.check == "store"]
    assert told == [
        f"s3://{BUCKET}/doctor answers and can be listed",
        "objects can be written, read and listed",
        "conditional writes are honoured: nothing is overwritten",
        "objects can be deleted, to clean up old runs",
    ]
    assert any("the store" in each.told for each in findings if each.check == "clock")
    listed = s3.client().list_objects_v2(Bucket=BUCKET, Prefix="doctor/")["Contents"]
    assert [each["Key"] for each in listed] == ["doctor/.evoptim/probe"]


def test_a_store_that_refuses_is_a_finding(
    cluster: FakeCluster, s3: S3Server, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    findings = list(diagnose(cluster_profile(store), "argo", "s3://no-such-bucket-here"))
    assert (findings[-1].check, findings[-1].verdict) == ("store", "failed")
    assert "create the bucket" in str(findings[-1])


@dataclass(frozen=True)
class _EmptyListing(Refusal):
    """A listing in which nothing shows yet, as of servers whose listings lag behind."""

    @property
    def content(self) -> bytes:
        return (
            b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            b"<IsTruncated>false</IsTruncated></ListBucketResult>"
        )


@pytest.mark.parametrize(
    ("rule", "verdict", "text"),
    [
        (Rule(Fault.UNCONDITIONAL), "warning", "let only one search at a time write a run"),
        (Rule(DENIED, "DELETE"), "warning", "grant s3:DeleteObject to whoever cleans up"),
        (Rule(_EmptyListing(200, "", "GET"), path="list-type=2"), "failed", "consistent"),
    ],
    ids=["conditions-ignored", "no-right-to-delete", "listings-that-lag"],
)
def test_what_a_store_does_not_do_is_found_and_the_rest_looked_at(
    s3: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    rule: Rule,
    verdict: str,
    text: str,
) -> None:
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    # Who hides the condition of a write hides its signature, too.
    let_anybody_in(s3.client())
    prefix = request.node.callspec.id
    plan = Plan(rule)
    with make_difficult(s3.endpoint, plan) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        findings = list(check_store(f"s3://{BUCKET}/{prefix}"))
    assert plan.met[rule.fault.value] > 0, "the fault must have happened"
    (wrong,) = (each for each in findings if each.verdict != "ok")
    assert wrong.verdict == verdict
    assert text in str(wrong)
    assert len([each for each in findings if each.check == "store"]) == 4


def test_nothing_but_trials_can_be_removed_from_a_store(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    bucket = S3Store(BUCKET, "kept")
    bucket.put("runs/first/config.json", b"{}")
    with pytest.raises(InputError, match="nothing but"):
        bucket.remove_trial("runs/first/config.json")
    assert bucket.get("runs/first/config.json") == b"{}"


def test_no_store_at_all_is_a_finding(cluster: FakeCluster, store: Path) -> None:
    cluster.found.pop(f"{NS}/configmaps/evoptim-store")
    findings = list(diagnose(cluster_profile(store), "argo"))
    assert str(findings[-1]).startswith("no store is known: give --store")
