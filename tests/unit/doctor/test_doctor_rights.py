"""Rights that the examination finds missing, of the user and of the pods."""

from __future__ import annotations

from pathlib import Path

import pytest
from examined_cluster import (
    KUEUE,
    NS,
    QUEUE,
    Case,
    assert_found,
    bad,
    deny,
    examine,
    job_ends,
    lose,
)
from kubernetes_api.scripted_engines import FakeCluster, asked_for

from pipelines.doctor.access import LOOK_VERBS, QUEUE_VERBS, user_verbs
from pipelines.doctor.deep import VERBS as DEEP_VERBS

CASES = [
    Case(
        "a right of the user",
        deny("create", "workflows"),
        {},
        "your rights",
        "failed",
        "you may not create workflows.argoproj.io in evoptim, which submit needs",
    ),
    Case(
        "the right to logs",
        deny("get", "pods/log"),
        {},
        "your rights",
        "failed",
        "you may not get pods/log in evoptim, which logs needs",
    ),
    Case(
        "a right of the pods",
        deny("watch", "jobs"),
        {},
        "pods' rights",
        "failed",
        "evoptim-search may not watch jobs.batch in evoptim: apply the manifests",
    ),
    Case(
        "no account",
        lose(f"{NS}/serviceaccounts/evoptim-worker"),
        {},
        "accounts",
        "failed",
        "no service account evoptim-worker",
    ),
    Case(
        "no account of Argo's",
        lose(f"{NS}/serviceaccounts/evoptim-executor"),
        {},
        "accounts",
        "failed",
        "no service account evoptim-executor",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_what_is_wrong_is_found_and_the_rest_looked_at(
    cluster: FakeCluster, store: Path, case: Case
) -> None:
    assert_found(cluster, store, case)


def test_exactly_the_rights_that_the_verbs_use_are_asked_about(
    cluster: FakeCluster, store: Path
) -> None:
    examine(store)
    asked = {
        (
            each["spec"]["resourceAttributes"]["verb"],
            "/".join(
                filter(
                    None,
                    (
                        each["spec"]["resourceAttributes"]["resource"],
                        each["spec"]["resourceAttributes"].get("subresource"),
                    ),
                )
            ),
        )
        for each in cluster.reviewed
        if each["kind"] == "SelfSubjectAccessReview"
    }
    assert asked == {(each.verb, each.resource) for each in user_verbs("argo")}


def test_a_user_who_may_not_ask_for_others_is_told_how(cluster: FakeCluster, store: Path) -> None:
    cluster.forbidden.add("/apis/authorization.k8s.io/v1/namespaces")
    findings = examine(store)
    assert bad(findings) == [("pods' rights", "unknown")]
    (told,) = [str(each) for each in findings if each.check == "pods' rights"]
    assert "kubectl auth can-i --as=system:serviceaccount:evoptim:evoptim-search" in told


def test_submitters_may_look_at_all_that_is_examined_but_secrets(
    cluster: FakeCluster, store: Path
) -> None:
    job_ends(cluster, "Complete", "store answers\n")
    cluster.found[KUEUE] = {"preferredVersion": {"version": "v1beta2"}}
    cluster.found[f"{KUEUE}/v1beta2/namespaces/evoptim/localqueues/evoptim"] = {}
    assert bad(examine(store, start_pods=True, queue=QUEUE)) == []
    look = {(each.verb, each.resource) for each in (*LOOK_VERBS, *QUEUE_VERBS)}
    more = {(each.verb, each.resource) for each in (*user_verbs("argo"), *DEEP_VERBS)}
    asked = asked_for(cluster) - {("get", "secrets")}
    # The path of a namespace lies in none.
    assert look - {("get", "namespaces")} <= asked
    assert asked <= look | more
