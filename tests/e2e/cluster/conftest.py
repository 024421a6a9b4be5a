"""A namespace with the manifests in it, on the cluster of ``KUBECONFIG``; see ``make e2e``."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster_search import RUN, alone, config_of, lasting, local_search
from given_cluster import (
    ARCHIVE,
    OURS,
    PROGRAMS,
    PROGRAMS_MAP,
    Given,
    Namespace,
    apply,
    collection,
    gone,
    has_api,
    quietly,
    read,
    wait_for,
)
from manifest_checks.rendering import MANIFESTS, command, objects, render
from programs import session
from programs.bucket import PORT

from pipelines.kubernetes_api import Cluster, Patience, connect
from pipelines.pod import container_security, pod_security

Object = dict[str, Any]

# Now: other tests' fixtures take boto3's variables away.
GIVEN = Given.from_environment()
HERE = Path(__file__).parent
STORE_NAME = "evoptim-e2e-store"
REGION = "us-east-1"
ANYBODY = {"AWS_ACCESS_KEY_ID": "e2e", "AWS_SECRET_ACCESS_KEY": "e2e"}
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark these tests, and leave them out unless they are asked for by their path or marker."""
    here = [each for each in items if each.path.is_relative_to(HERE)]
    for each in here:
        each.add_marker(pytest.mark.cluster)
    named = [Path(str(each).partition("::")[0]).resolve() for each in config.args]
    asked = any(each.is_relative_to(HERE) for each in named)
    if here and not asked and "cluster" not in config.getoption("markexpr", ""):
        items[:] = [each for each in items if each not in here]
        config.hook.pytest_deselected(items=here)


@pytest.fixture(scope="session")
def given() -> Given:
    """What the tests were given; skips where that is not enough."""
    if reason := GIVEN.lacks():
        pytest.skip(reason)
    return GIVEN


@pytest.fixture(scope="session")
def admin(given: Given) -> Cluster:
    """The cluster, with the rights of the kubeconfig's user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", given.kubeconfig)
        cluster = connect()
        # One that is not there is told at once, not after the minutes that an upgrade may take.
        cluster.request("GET", "/version", patience=Patience(total=30.0))
        return cluster


@pytest.fixture(scope="session")
def components(given: Given, admin: Cluster) -> tuple[str, ...]:
    """The parts of the manifests that this cluster has a use for."""
    argo = has_api(admin, "argoproj.io/v1alpha1", "Workflow")
    found = ["argo"] if argo else []
    return (*found, "kfp") if given.kfp_endpoint else tuple(found)


@pytest.fixture(scope="session")
def manifests(
    given: Given, components: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> list[Object]:
    """The manifests for the namespace under test, changed as docs/manifests.md tells users."""
    if command() is None:
        pytest.skip("neither kubectl nor kustomize is installed, which render the manifests")
    folder = tmp_path_factory.mktemp("manifests") / "manifests"
    shutil.copytree(MANIFESTS, folder)
    overlay = folder / "overlays" / "e2e"
    overlay.mkdir()
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(kustomization(given, components)))
    answer = render(overlay)
    assert answer.returncode == 0, answer.stderr
    return objects(answer.stdout)


def kustomization(given: Given, components: tuple[str, ...]) -> Object:
    """An overlay for the namespace and the store of these tests."""
    ours = {"podSelector": {"matchLabels": {"app.kubernetes.io/name": STORE_NAME}}}
    anywhere = [
        {"namespaceSelector": {}},
        {"ipBlock": {"cidr": "0.0.0.0/0"}},
        {"ipBlock": {"cidr": "::/0"}},
    ]
    # What is behind a Service may listen on any port.
    open_to = {"to": anywhere} if given.store else {"to": [ours], "ports": [{"port": PORT}]}
    egress = [{"op": "replace", "path": "/spec/egress", "value": [open_to]}]
    private = not given.store or given.endpoint()
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": given.namespace,
        "resources": ["../../base"],
        "components": [f"../../components/{each}" for each in components],
        "patches": [
            {
                "target": {"kind": "NetworkPolicy", "name": "evoptim-s3"},
                "patch": yaml.safe_dump(egress),
            }
        ]
        if private
        else [],
    }


@pytest.fixture(scope="session")
def applied(given: Given, admin: Cluster, manifests: list[Object]) -> Iterator[list[Object]]:
    """The manifests in the cluster; those that were not there before go when the tests end."""
    path = f"/api/v1/namespaces/{given.namespace}"
    # Tests that ended a moment ago may still be taking theirs away.
    wait_for(
        lambda: "deletionTimestamp" not in (read(admin, path) or {}).get("metadata", {}),
        f"the end of the former namespace {given.namespace}",
        300.0,
    )
    _check_may_write(admin, given)
    # The namespace first: nothing can be tried in one that is not there.
    ordered = sorted(manifests, key=lambda each: each["kind"] != "Namespace")
    new = [each for each in ordered if read(admin, _path(admin, each)) is None]
    try:
        for each in ordered:
            dry = each["kind"] != "Namespace"
            apply(admin, each, dry_run=dry)
            apply(admin, each)
        for each in manifests:
            if each["kind"] == "ResourceQuota":
                _wait_until_counted(admin, each)
        yield manifests
    finally:
        for each in reversed(new):
            quietly(lambda each=each: admin.request("DELETE", _path(admin, each)))


def _wait_until_counted(admin: Cluster, quota: Object) -> None:
    """A quota that is new lets no pod pass before its controller has looked at it."""
    path = _path(admin, quota)
    wait_for(lambda: ((read(admin, path) or {}).get("status") or {}).get("hard"), path, 120.0)


def _path(cluster: Cluster, each: Object) -> str:
    return f"{collection(cluster, each)}/{each['metadata']['name']}"


def _check_may_write(admin: Cluster, given: Given) -> None:
    """Skip rather than overwrite where the store of a namespace in use is, and its credentials."""
    writes = not given.store or any(given.aws.get(key) for key in KEYS)
    written = [("configmaps", "evoptim-store"), *([("secrets", "evoptim-s3")] if writes else ())]
    for kind, name in written:
        found = read(admin, f"/api/v1/namespaces/{given.namespace}/{kind}/{name}")
        labels = (found or {}).get("metadata", {}).get("labels") or {}
        if found is not None and not OURS.items() <= labels.items():
            pytest.skip(
                f"the namespace {given.namespace} is in use: these tests would overwrite its "
                f"{kind} {name}; give another NAMESPACE, or one that is not there"
            )


@pytest.fixture(scope="session")
def namespace(given: Given, admin: Cluster, applied: list[Object]) -> Iterator[Namespace]:
    """The namespace with a store that pods reach and with the tests' programs."""
    found = Namespace(admin, given, "")
    programs = {path.name: path.read_text() for path in PROGRAMS.glob("*.py")}
    try:
        _put(found, "ConfigMap", PROGRAMS_MAP, data=programs)
        if given.store:
            endpoint, credentials = given.endpoint(), given.aws
            found.base = f"{given.store}/evoptim-e2e-{uuid.uuid4().hex[:8]}"
        else:
            endpoint, credentials = _start_store(found), ANYBODY
            found.base = f"s3://evoptim/{uuid.uuid4().hex[:8]}"
        _tell_store(found, endpoint, credentials)
        yield found
    finally:
        quietly(found.tidy)
        policies = found.path("networkpolicies", STORE_NAME, "/apis/networking.k8s.io/v1")
        for path in (
            found.path("pods", STORE_NAME),
            found.path("services", STORE_NAME),
            policies,
            found.path("configmaps", PROGRAMS_MAP),
        ):
            quietly(lambda path=path: found.remove(path, 0))


@pytest.fixture(autouse=True)
def tidy(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test leaves does not reach the next one."""
    yield
    if "namespace" in request.fixturenames:
        request.getfixturevalue("namespace").tidy()


@pytest.fixture
def store(namespace: Namespace) -> str:
    """URL of a store that no other test has."""
    return namespace.new_store()


def _put(namespace: Namespace, kind: str, name: str, **content: Any) -> None:
    metadata = {"name": name, "namespace": namespace.name, "labels": OURS}
    apply(namespace.cluster, {"apiVersion": "v1", "kind": kind, "metadata": metadata, **content})


def _tell_store(namespace: Namespace, endpoint: str, aws: Any) -> None:
    """Write where the store is, and with which credentials, where profiles look for it."""
    region = aws.get("AWS_REGION") or aws.get("AWS_DEFAULT_REGION") or REGION
    data = {"EVOPTIM_STORE": namespace.base, "AWS_REGION": region, "AWS_DEFAULT_REGION": region}
    data |= {"AWS_ENDPOINT_URL": endpoint} if endpoint else {}
    _put(namespace, "ConfigMap", "evoptim-store", data=data)
    if keys := {key: aws[key] for key in KEYS if aws.get(key)}:
        _put(namespace, "Secret", "evoptim-s3", type="Opaque", stringData=keys)


def _start_store(namespace: Namespace) -> str:
    """Start the bucket of ``programs/bucket.py`` in the cluster; returns its URL there."""
    profile = namespace.profile()
    labels = {"app.kubernetes.io/name": STORE_NAME, **OURS}
    port = {"name": "s3", "port": PORT, "protocol": "TCP"}
    apply(
        namespace.cluster,
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": STORE_NAME, "namespace": namespace.name, "labels": OURS},
            "spec": {
                "podSelector": {"matchLabels": {"app.kubernetes.io/name": STORE_NAME}},
                "policyTypes": ["Ingress"],
                # A standalone KFP runs evoptim's pods in its own namespace.
                "ingress": [
                    {
                        "from": [
                            {
                                "namespaceSelector": {},
                                "podSelector": {
                                    "matchLabels": {"app.kubernetes.io/name": "evoptim"}
                                },
                            }
                        ],
                        "ports": [{"port": PORT, "protocol": "TCP"}],
                    }
                ],
            },
        },
    )
    _put(
        namespace,
        "Service",
        STORE_NAME,
        spec={"selector": {"app.kubernetes.io/name": STORE_NAME}, "ports": [port]},
    )
    path = namespace.path("pods", STORE_NAME)
    namespace.remove(path, 0)
    gone(namespace, path)
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": STORE_NAME, "namespace": namespace.name, "labels": labels},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": pod_security(profile),
            "volumes": [{"name": "programs", "configMap": {"name": PROGRAMS_MAP}}],
            "containers": [
                {
                    "name": "main",
                    "image": profile.image,
                    "imagePullPolicy": profile.image_pull_policy,
                    "command": ["python", "/programs/bucket.py"],
                    "ports": [{"name": "s3", "containerPort": PORT}],
                    "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
                    "resources": {
                        "requests": {"cpu": "50m", "memory": "128Mi"},
                        "limits": {"cpu": "500m", "memory": "256Mi"},
                    },
                    "securityContext": container_security(profile),
                    "volumeMounts": [
                        {"name": "programs", "mountPath": "/programs", "readOnly": True}
                    ],
                }
            ],
        },
    }
    namespace.cluster.request("POST", namespace.path("pods"), body=pod)

    def ready() -> bool:
        found = namespace.read(path) or {}
        conditions = (found.get("status") or {}).get("conditions") or ()
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    try:
        wait_for(ready, "the store in the cluster", 300.0)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{namespace.why(STORE_NAME)}") from error
    # By its address: a bare cluster may have no DNS.
    service = namespace.read(namespace.path("services", STORE_NAME)) or {}
    address = service["spec"]["clusterIP"]
    return _url(address)


def _url(address: str) -> str:
    return f"http://[{address}]:{PORT}" if ":" in address else f"http://{address}:{PORT}"


@pytest.fixture(scope="session")
def from_here(namespace: Namespace) -> Iterator[dict[str, str]]:
    """The variables with which this machine reaches the store of the pods, as users do."""
    given = namespace.given
    if given.store:
        yield dict(given.aws)
        return
    service = namespace.read(namespace.path("services", STORE_NAME)) or {}
    address = service["spec"]["clusterIP"]
    with suppress(OSError), socket.create_connection((address, PORT), 2.0):
        yield {**ANYBODY, "AWS_REGION": REGION, "AWS_ENDPOINT_URL": _url(address)}
        return
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl, which brings this machine to a store in the cluster, is not here")
    process = subprocess.Popen(
        [
            *(kubectl, "-n", namespace.name, "port-forward", f"service/{STORE_NAME}", f":{PORT}"),
            *("--kubeconfig", given.kubeconfig),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"127\.0\.0\.1:(\d+)", line)
        assert found is not None, f"kubectl port-forward says {line!r}"
        url = f"http://127.0.0.1:{found[1]}"
        yield {**ANYBODY, "AWS_REGION": REGION, "AWS_ENDPOINT_URL": url}
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="session")
def expected(namespace: Namespace) -> dict[int, bytes]:
    """The archives of local runs by seed, each in a folder of one pod.

    In a pod, not on this machine: the last bits of a sum depend on the CPU and on the libraries.
    The first is a user's own ``evoptim search``, the second its steps one by one.
    """
    ways = {
        0: [{"run": local_search("/tmp/store")}],
        1: alone("/tmp/store", config_of(seed=1)),
    }
    found = {seed: _archive_of(namespace, steps) for seed, steps in ways.items()}
    assert found[0] != found[1]
    return found


@pytest.fixture(scope="session")
def expected_of_lasting(namespace: Namespace) -> bytes:
    """The archive of a local run of that configuration."""
    return _archive_of(namespace, alone("/tmp/store", lasting()))


def _archive_of(namespace: Namespace, steps: Iterable[Object]) -> bytes:
    shown = {"show": f"runs/{RUN}/{ARCHIVE}", "store": "/tmp/store"}
    (found,) = session.shown(namespace.run_session(RUN, *steps, shown)).values()
    return found
