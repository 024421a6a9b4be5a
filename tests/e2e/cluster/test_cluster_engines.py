"""The same search by the engines that the cluster has: Argo Workflows, Kubeflow Pipelines."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster_search import RUN, config_of
from given_cluster import Given, Namespace, apply, collection, has_api, quietly, read, wait_for
from manifest_checks.rendering import MANIFESTS, objects, render
from small_search import command

from evoptim.verbs.compiling import compile_for_cluster
from pipelines.argo import as_parameter
from pipelines.profile import ClusterProfile
from pipelines.submit import ArgoEngine, KfpEngine, Package, Submission, Target, engine_name
from pipelines.submit.argo import read_workflow

Object = dict[str, Any]

ARGO = "argoproj.io/v1alpha1"
WORKFLOWS = f"/apis/{ARGO}"
# A workflow is a dozen pods one after another.
PATIENCE = 1800.0


def package(store: str, profile: ClusterProfile, target: Target) -> Package:
    """A compiled search, as `evoptim submit` hands it over."""
    config = config_of()
    arguments: dict[str, Any] = {
        "store": store,
        "run": RUN,
        "config": config.canonical_json(),
        "candidates_per_task": profile.candidates_per_task,
        **({"patience": 0} if target == "argo" else {}),
    }
    text = compile_for_cluster(config, profile, target).text
    return Package(engine_name(store, RUN, 0), RUN, store, text, arguments, profile)


def submission(of: Package, target: Target, identity: str, address: str) -> Submission:
    return Submission(
        number=0,
        target=target,
        name=of.name,
        engine_id=identity,
        address=address,
        fan_out="job",
        profile=of.profile,
        config=config_of(),
        patience=0,
        submitted_at="2026-01-01T00:00:00+00:00",
        version="0",
    )


@pytest.fixture
def argo(namespace: Namespace) -> Iterator[ArgoEngine]:
    """Argo Workflows; its objects of these tests go when they end."""
    if not has_api(namespace.cluster, ARGO, "Workflow"):
        pytest.skip("the cluster has no workflows.argoproj.io: Argo Workflows is not installed")
    yield ArgoEngine(namespace.cluster)
    for kind in ("workflows", "workflowtemplates"):
        path = namespace.path(kind, api=WORKFLOWS)
        for each in namespace.list(path, **{"app.kubernetes.io/name": "evoptim"}):
            quietly(
                lambda each=each, path=path: namespace.remove(f"{path}/{each['metadata']['name']}")
            )


@pytest.mark.parametrize("fan_out", ["job", "loop"])
def test_the_workflow_template_runs_a_search(
    namespace: Namespace, store: str, expected: dict[int, bytes], argo: ArgoEngine, fan_out: str
) -> None:
    """Applied and started by its name, as without any program of ours."""
    compiled = package(store, namespace.profile(fan_out=fan_out), "argo")
    templates = [each for each in yaml.safe_load_all(compiled.text) if each]
    for each in templates:
        each["metadata"]["namespace"] = namespace.name
        apply(namespace.cluster, each)
    (template,) = (each for each in templates if each["kind"] == "WorkflowTemplate")
    parameters = [
        {"name": name, "value": as_parameter(str(value))}
        for name, value in compiled.arguments.items()
    ]
    path = namespace.path("workflows", api=WORKFLOWS)
    labels = {"app.kubernetes.io/name": "evoptim"}
    workflow = {
        "apiVersion": ARGO,
        "kind": "Workflow",
        "metadata": {"name": compiled.name, "namespace": namespace.name, "labels": labels},
        "spec": {
            "workflowTemplateRef": {"name": template["metadata"]["name"]},
            "arguments": {"parameters": parameters},
        },
    }
    namespace.cluster.request("POST", path, body=workflow)

    def ended() -> Any:
        state = read_workflow(namespace.read(f"{path}/{compiled.name}") or {})
        return state if state.ended else None

    state = wait_for(ended, "the end of the workflow", PATIENCE)
    assert state.phase == "succeeded", (state, state.steps)
    assert namespace.archive(store, RUN) == expected[0]


def test_cancelling_a_workflow_leaves_nothing_at_work(
    namespace: Namespace, store: str, argo: ArgoEngine
) -> None:
    compiled = package(store, namespace.profile(fan_out="job", parallelism=1), "argo")
    identity = argo.start(compiled)
    sent = submission(compiled, "argo", identity, argo.address)

    def job() -> Object | None:
        assert not argo.state(sent).ended, argo.state(sent)
        return next(iter(namespace.jobs(store, RUN)), None)

    wait_for(job, "the first Job")
    argo.cancel(sent)
    wait_for(lambda: argo.state(sent).ended, "the end of the workflow", 300.0)
    assert argo.state(sent).phase == "cancelled"
    wait_for(lambda: not namespace.jobs(store, RUN), "the end of the Jobs", 120.0)

    wait_for(lambda: not at_work(namespace), "the end of the pods", 120.0)


def at_work(namespace: Namespace) -> list[str]:
    """Names of the pods of searches that have not ended."""
    pods = namespace.list(namespace.path("pods"), **{"app.kubernetes.io/name": "evoptim"})
    alive = [each for each in pods if each["status"].get("phase") in ("Pending", "Running")]
    return [each["metadata"]["name"] for each in alive]


def test_the_commands_submit_cancel_resume_and_follow(
    namespace: Namespace,
    store: str,
    expected: dict[int, bytes],
    argo: ArgoEngine,
    from_here: dict[str, str],
    tmp_path: Path,
) -> None:
    profile, config = tmp_path / "profile.yaml", tmp_path / "config.yaml"
    profile.write_text(namespace.profile(fan_out="job").canonical_json())
    config.write_text(config_of().canonical_json())
    variables = {**from_here, "KUBECONFIG": namespace.given.kubeconfig}

    def told(*words: str) -> str:
        done = subprocess.run(
            [*command(*words), "--store", store, "--run", RUN],
            env={**os.environ, **variables},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    what = ("--target", "argo", "--profile", str(profile), "--config", str(config))
    told("submit", *what)
    wait_for(lambda: namespace.jobs(store, RUN), "the first Job")
    told("cancel")
    wait_for(lambda: not namespace.jobs(store, RUN), "the end of the Jobs", 120.0)
    wait_for(lambda: not at_work(namespace), "the end of the pods", 120.0)
    told("resume")
    told("watch", "--seconds", "1")
    assert json.loads(told("status", "--json"))["finished"] is True
    assert namespace.archive(store, RUN) == expected[0]


@pytest.fixture
def kfp(given: Given, monkeypatch: pytest.MonkeyPatch) -> KfpEngine:
    """Kubeflow Pipelines at ``KFP_ENDPOINT``."""
    if not given.kfp_endpoint:
        pytest.skip("KFP_ENDPOINT is not set")
    monkeypatch.setenv("KFP_ENDPOINT", given.kfp_endpoint)
    monkeypatch.setenv("KUBECONFIG", given.kubeconfig)
    return KfpEngine()


@pytest.fixture
def kfp_namespace(kfp: KfpEngine, namespace: Namespace, tmp_path: Path) -> Iterator[str]:
    """Where KFP runs the pods of a run, with accounts, rights and the store's address in it."""
    if kfp.check(namespace.name) == "multi-user":
        yield namespace.name
        return
    where = namespace.given.kfp_namespace
    shutil.copytree(MANIFESTS, tmp_path / "manifests")
    overlay = tmp_path / "manifests" / "overlays" / "kfp-standalone"
    text = (overlay / "kustomization.yaml").read_text().replace("kubeflow", where)
    (overlay / "kustomization.yaml").write_text(text)
    answer = render(overlay)
    assert answer.returncode == 0, answer.stderr
    found = [each for each in objects(answer.stdout) if each["kind"] != "ConfigMap"]
    for kind, name in (("configmaps", "evoptim-store"), ("secrets", "evoptim-s3")):
        here = namespace.read(namespace.path(kind, name))
        if here is not None:
            metadata = {"name": name, "namespace": where}
            kept = {key: here[key] for key in ("data", "type") if key in here}
            kind_name = {"configmaps": "ConfigMap", "secrets": "Secret"}[kind]
            found.append({"apiVersion": "v1", "kind": kind_name, "metadata": metadata, **kept})
    paths = {
        f"{collection(namespace.cluster, each)}/{each['metadata']['name']}": each for each in found
    }
    made = [path for path in paths if read(namespace.cluster, path) is None]
    taken = [
        path for path in paths if path not in made and path.endswith(("/evoptim-s3", "-store"))
    ]
    if taken:
        pytest.skip(f"{where} is in use, and these tests would overwrite {', '.join(taken)}")
    try:
        for each in paths.values():
            apply(namespace.cluster, each)
        yield where
    finally:
        for path in made:
            quietly(lambda path=path: namespace.remove(path))


def test_kubeflow_pipelines_runs_a_search(
    namespace: Namespace, expected: dict[int, bytes], kfp: KfpEngine, kfp_namespace: str
) -> None:
    # KFP remembers runs by name: one that it has seen is not started again.
    store = f"{namespace.new_store()}-{uuid.uuid4().hex[:8]}"
    profile = namespace.profile(namespace=kfp_namespace)
    compiled = package(store, profile, "kfp")
    identity = kfp.start(compiled)
    sent = submission(compiled, "kfp", identity, kfp.address)

    def ended() -> Any:
        state = kfp.state(sent)
        return state if state.ended else None

    try:
        state = wait_for(ended, "the end of the run", PATIENCE)
    finally:
        quietly(lambda: kfp.cancel(sent))
    assert state.phase == "succeeded", (state, state.steps)
    assert namespace.archive(store, RUN) == expected[0]
