"""The pods of a workflow: as whom they run, what they may do, when another follows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from argo_engine import Attempt, retried
from argo_search import (
    FAN_OUTS,
    FULL_PROFILE,
    Object,
    every_fan_out,
    made,
    pods_of,
    profiles,
    template_of,
)
from manifest_checks import pod_security
from manifest_checks.pods import Pod

from pipelines.argo import EXECUTOR_ACCOUNT
from pipelines.argo_pod import DISRUPTIONS, EXECUTOR_USER
from pipelines.profile import ClusterProfile
from pipelines.profile_reading import read_profile

ROOT = Path(__file__).resolve().parents[2]


def as_argo_makes_it(workflow: Object, template: Object) -> Pod:
    """A pod with the containers that Argo adds, as those of a stock installation are.

    Their image runs as root, and its controller gives them no security context.
    """
    ours = {**template["container"], "name": "main"}
    spec: Object = {**template, "initContainers": [{"name": "init"}]}
    spec["containers"] = [{"name": "wait"}, ours]
    patch = json.loads(workflow["spec"]["podSpecPatch"])
    for kind, changes in patch.items():
        for change in changes:
            (container,) = (each for each in spec[kind] if each["name"] == change["name"])
            container.update(change)
    return Pod(template["name"], {}, spec)


@every_fan_out
def test_pods_are_restricted_and_so_is_what_argo_adds(fan_out: str) -> None:
    for profile in profiles():
        workflow = made(fan_out, profile)
        for template in pods_of(workflow):
            assert pod_security.problems(as_argo_makes_it(workflow, template)) == []


def executor_users(profile: ClusterProfile) -> set[object]:
    """Whom Argo's own containers run as; None where the pod says it."""
    patch = json.loads(made(profile=profile)["spec"]["podSpecPatch"])
    parts = [container for part in patch.values() for container in part]
    return {each["securityContext"].get("runAsUser") for each in parts}


def test_what_argo_adds_does_not_run_as_root() -> None:
    assert executor_users(ClusterProfile()) == {EXECUTOR_USER}
    assert executor_users(read_profile(settings={"security.run_as_user": 1000})) == {None}
    assert executor_users(read_profile(settings={"security.run_as_non_root": False})) == {None}


def test_argos_containers_run_as_the_user_of_our_image() -> None:
    text = (ROOT / "images/worker/Dockerfile").read_text(encoding="utf-8")
    assert f"\nUSER {EXECUTOR_USER}:" in text


def test_every_container_names_its_command() -> None:
    """Argo would ask the registry for it, with credentials that it may not have."""
    for fan_out in FAN_OUTS:
        assert {tuple(each["container"]["command"]) for each in pods_of(made(fan_out))} == {
            ("evoptim",)
        }


@every_fan_out
def test_only_pods_that_do_not_train_have_a_token(fan_out: str) -> None:
    given = {
        each["name"]: (each["serviceAccountName"], each["automountServiceAccountToken"])
        for each in pods_of(made(fan_out))
    }
    workers = {"evaluate", "evaluate-finals"} if fan_out == "loop" else set()
    for name, found in given.items():
        wanted = ("evoptim-worker", False) if name in workers else ("evoptim-search", True)
        assert found == wanted, name


def test_the_executor_has_the_account_that_the_manifests_make() -> None:
    text = (ROOT / "manifests/components/argo/access.yaml").read_text(encoding="utf-8")
    accounts = [
        each["metadata"]["name"]
        for each in yaml.safe_load_all(text)
        if each["kind"] == "ServiceAccount"
    ]
    assert made()["spec"]["executor"] == {"serviceAccountName": EXECUTOR_ACCOUNT}
    assert accounts == [EXECUTOR_ACCOUNT]


def test_the_queue_takes_pods_that_train_and_no_others() -> None:
    profile = read_profile(FULL_PROFILE)
    queued = {
        fan_out: [
            each["name"]
            for each in pods_of(made(fan_out, profile))
            if "kueue.x-k8s.io/queue-name" in each["metadata"]["labels"]
        ]
        for fan_out in FAN_OUTS
    }
    # A Job is queued by the label that its watcher gives it.
    assert queued == {"loop": ["evaluate-finals", "evaluate"], "job": []}


def test_the_watching_pod_may_run_as_long_as_its_job() -> None:
    profile = ClusterProfile()
    for name in ("run-generation", "evaluate-finals"):
        found = template_of(made("job"), name)["activeDeadlineSeconds"]
        assert found == profile.watch_timeout_seconds()
    for name in ("evaluate", "evaluate-finals"):
        found = template_of(made("loop"), name)["activeDeadlineSeconds"]
        assert found == profile.workers.timeout_seconds


def test_the_whole_profile_reaches_the_driver_of_the_job() -> None:
    profile = read_profile(settings={"environment.literals": {"NOTE": "$(HOME) costs $$"}})
    arguments = template_of(made("job", profile), "run-generation")["container"]["args"]
    text = arguments[arguments.index("--profile-json") + 1]
    assert "$(" not in text
    assert ClusterProfile.model_validate_json(text) == profile


# When a pod is replaced

R = 2
EVICTED = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi."
OFTEN = R + 5


@pytest.mark.parametrize(
    ("attempt", "attempts", "again"),
    [
        pytest.param(Attempt(1), 1, True, id="infrastructure"),
        pytest.param(Attempt(1), R, True, id="infrastructure-last"),
        pytest.param(Attempt(1), R + 1, False, id="infrastructure-enough"),
        pytest.param(
            Attempt(1, message="main: Error (exit code 1): error: the store is unresponsive"),
            *(R + 1, False),
            id="infrastructure-in-other-words",
        ),
        pytest.param(Attempt(2), 1, False, id="mistake"),
        pytest.param(Attempt(2, message=EVICTED), 1, False, id="mistake-and-evicted"),
        pytest.param(Attempt(139, message="main: Error (exit code 139)"), 1, True, id="crash"),
        pytest.param(Attempt(139), OFTEN, False, id="crash-enough"),
        pytest.param(Attempt(None, message="pod deleted", phase="Error"), OFTEN, True, id="gone"),
        pytest.param(Attempt(None, message=EVICTED), OFTEN, True, id="evicted"),
        pytest.param(
            Attempt(None, message="Preempted in order to admit critical pod"),
            *(OFTEN, True),
            id="preempted",
        ),
        pytest.param(
            Attempt(130, message="main: Error (exit code 130): error: interrupted"),
            *(OFTEN, True),
            id="told-to-end",
        ),
        pytest.param(Attempt(143, message="main: Error (exit code 143)"), OFTEN, True, id="term"),
        pytest.param(Attempt(137, message="main: Error (exit code 137)"), OFTEN, True, id="kill"),
        pytest.param(Attempt(137, message="main: OOMKilled (exit code 137)"), 1, True, id="memory"),
        pytest.param(
            Attempt(137, message="main: OOMKilled (exit code 137)"),
            *(R + 1, False),
            id="memory-enough",
        ),
        pytest.param(
            Attempt(143, message="Pod was active on the node longer than the specified deadline"),
            *(R + 1, False),
            id="time-enough",
        ),
        pytest.param(
            Attempt(None, message="Pod ephemeral local storage usage exceeds the total limit"),
            *(R + 1, False),
            id="disk-enough",
        ),
        pytest.param(
            Attempt(None, message='pods "x" is forbidden: violates PodSecurity', phase="Error"),
            *(R + 1, False),
            id="forbidden-enough",
        ),
    ],
)
def test_retries_tell_disruptions_from_failures(
    attempt: Attempt, attempts: int, again: bool
) -> None:
    profile = read_profile(settings={"workers.retries": R})
    strategy = template_of(made(profile=profile), "evaluate")["retryStrategy"]
    assert retried(strategy["expression"], attempt, attempts) is again
    assert strategy["limit"] == str(R + DISRUPTIONS)
    assert strategy["retryPolicy"] == "Always"
