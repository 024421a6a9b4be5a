"""The cluster that the tests are given: its namespace, pods in it, and what they leave."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from programs import session

from pipelines.job import STORE_LABEL
from pipelines.kubernetes_api import ApiError, Cluster, Patience
from pipelines.pod import COMPONENT_LABEL, RUN_LABEL, pod_template
from pipelines.profile import ClusterProfile
from pipelines.profile_reading import read_profile
from pipelines.submit.jobs import store_label

Object = dict[str, Any]

PROGRAMS = Path(__file__).parent / "programs"
ARCHIVE = "report/archive.json"
PROGRAMS_MAP = "evoptim-e2e"
OURS = {"evoptim.dev/e2e": "true"}
"""Label of what the tests made and may take away."""

# A pod may wait for its image, and for a node that another one leaves.
PATIENCE = 900.0
# Seconds between two looks.
_LOOK = 0.3


@dataclass(frozen=True)
class Given:
    """What whoever runs the tests gave them, by environment variables."""

    kubeconfig: str
    image: str
    namespace: str
    store: str
    """``s3://bucket/prefix``; empty for a server that the tests start in the cluster."""
    kfp_endpoint: str
    kfp_namespace: str
    """Where a standalone KFP is, which runs all pods beside it."""
    aws: Mapping[str, str]
    """boto3's own variables, for a store that was given."""

    @classmethod
    def from_environment(cls) -> Given:
        env = os.environ
        return cls(
            kubeconfig=env.get("KUBECONFIG", ""),
            image=env.get("IMAGE", ""),
            namespace=env.get("NAMESPACE", ""),
            store=env.get("STORE", "").rstrip("/"),
            kfp_endpoint=env.get("KFP_ENDPOINT", ""),
            kfp_namespace=env.get("KFP_NAMESPACE", "") or "kubeflow",
            aws={name: value for name, value in env.items() if name.startswith("AWS_")},
        )

    def lacks(self) -> str | None:
        """Why nothing can be tested, or None."""
        missing = [
            name
            for name, value in (
                ("KUBECONFIG", self.kubeconfig),
                ("IMAGE", self.image),
                ("NAMESPACE", self.namespace),
            )
            if not value
        ]
        if not missing:
            return None
        return f"no cluster is given: {', '.join(missing)} not set (see `make e2e`)"

    def endpoint(self) -> str:
        """The given store's, or empty for Amazon's."""
        return self.aws.get("AWS_ENDPOINT_URL_S3") or self.aws.get("AWS_ENDPOINT_URL") or ""


def profile_of(given: Given, **changes: Any) -> ClusterProfile:
    """How the tests' pods run: small; ``workers__retries=0`` changes one setting."""
    small = {
        "requests": {"cpu": "100m", "memory": "512Mi"},
        "limits": {"cpu": "1", "memory": "2Gi"},
        "gpu": 0,
        "gpu_resource": "nvidia.com/gpu",
    }
    settings: Object = {
        "namespace": given.namespace,
        "image": given.image,
        "parallelism": 2,
        "fan_out": "job",
        "workers.resources": small,
        "workers.shared_memory": "64Mi",
        "workers.timeout_seconds": 1200,
        "steps.resources": small,
        "steps.timeout_seconds": 3600,
        "stage_timeout_seconds": 1800,
        "candidates_per_task": 2,
    }
    named = {name.replace("__", "."): value for name, value in changes.items()}
    return read_profile(settings={**settings, **named})


@dataclass
class Namespace:
    """The namespace under test, with the rights of whoever runs the tests."""

    cluster: Cluster
    given: Given
    base: str
    """URL under which every test has a store of its own."""
    pods_made: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.given.namespace

    def path(self, kind: str, name: str = "", api: str = "/api/v1") -> str:
        """Path of objects of this namespace, or of one of them."""
        return f"{api}/namespaces/{self.name}/{kind}{f'/{name}' if name else ''}"

    def jobs_path(self, name: str = "") -> str:
        return self.path("jobs", name, "/apis/batch/v1")

    def new_store(self) -> str:
        """URL of a store that no other test has."""
        return f"{self.base}/{uuid.uuid4().hex[:12]}"

    def profile(self, **changes: Any) -> ClusterProfile:
        return profile_of(self.given, **changes)

    # Objects

    def list(self, path: str, **labels: str) -> list[Object]:
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        query = {"labelSelector": selector} if selector else {}
        return list(self.cluster.request("GET", path, query).get("items") or ())

    def read(self, path: str) -> Object | None:
        return read(self.cluster, path)

    def remove(self, path: str, seconds: int | None = None) -> None:
        """Delete an object; of pods, after so many seconds in which they may clean up."""
        body: Object = {"propagationPolicy": "Background"}
        if seconds is not None:
            body["gracePeriodSeconds"] = seconds
        with absent_is_fine():
            self.cluster.request("DELETE", path, body=body)

    def evict(self, pod: str, seconds: int = 30) -> None:
        """Ask for a pod's end as a node that is drained does; it has so long to end by itself."""
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": self.name},
            "deleteOptions": {"gracePeriodSeconds": seconds},
        }
        self.cluster.request("POST", f"{self.path('pods', pod)}/eviction", body=body)

    # Jobs of a run

    def jobs(self, store: str, run: str) -> list[Object]:
        labels = {RUN_LABEL: run, STORE_LABEL: store_label(store)}
        return self.list(self.jobs_path(), **labels)

    def workers(self, job: Object, **labels: str) -> list[Object]:
        labels["batch.kubernetes.io/job-name"] = job["metadata"]["name"]
        return self.list(self.path("pods"), **labels)

    def job_at_work(self, store: str, run: str, watcher: str) -> Object:
        """The run's only Job, as soon as it is there."""

        def found() -> Object | None:
            self.check_alive(watcher)
            jobs = self.jobs(store, run)
            assert len(jobs) <= 1, [each["metadata"]["name"] for each in jobs]
            return jobs[0] if jobs else None

        return wait_for(found, "the Job")

    def worker_at_work(self, job: Object, watcher: str) -> Object:
        """One of a Job's pods whose container runs."""

        def found() -> Object | None:
            self.check_alive(watcher)
            running = (each for each in self.workers(job) if is_running(each))
            return next(running, None)

        return wait_for(found, "a training pod at work")

    # Pods of ours

    def start_step(
        self, profile: ClusterProfile, run: str, arguments: Sequence[str], prefix: str = "step"
    ) -> str:
        """Start a pod that runs one step as engines do; returns its name."""
        template = pod_template(profile, "search", arguments, run)
        return self._start(template, prefix)

    def start_session(self, run: str, *steps: Object, prefix: str = "session") -> str:
        """Start a pod of the least-privilege account that runs these (``programs/session.py``)."""
        programs = {
            "kind": "config_map",
            "name": PROGRAMS_MAP,
            "path": "/programs",
            "read_only": True,
        }
        template = pod_template(self.profile(mounts=[programs]), "search", [], run)
        (container,) = template["spec"]["containers"]
        container["command"] = ["python", "/programs/session.py"]
        container["args"] = [json.dumps(steps)]
        return self._start(template, prefix)

    def _start(self, template: Object, prefix: str) -> str:
        name = f"evoptim-e2e-{prefix}-{uuid.uuid4().hex[:8]}"
        metadata = {**template["metadata"], "name": name, "namespace": self.name}
        metadata["labels"] = {**metadata["labels"], **OURS}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        self.cluster.request("POST", self.path("pods"), body=pod)
        self.pods_made.append(name)
        return name

    def log(self, pod: str) -> str:
        try:
            return self.cluster.text(f"{self.path('pods', pod)}/log")
        except ApiError as error:
            # Not started yet, or gone.
            if error.status not in (400, 404):
                raise
            return ""

    def says(self, pod: str, text: str) -> None:
        """Wait until a pod has printed something."""

        def said() -> bool:
            if text in self.log(pod):
                return True
            self.check_alive(pod)
            return False

        wait_for(said, f"{text!r} in the log of {pod}")

    def check_alive(self, pod: str) -> None:
        """Fail, with its log, when a pod has ended."""
        found = self.read(self.path("pods", pod))
        assert found is not None, f"the pod {pod} is gone"
        phase = found["status"].get("phase")
        assert phase in (None, "Pending", "Running"), f"{pod} is {phase}:\n{self.log(pod)[-4000:]}"

    def finish(self, pod: str, expected: str = "Succeeded") -> str:
        """Wait for a pod's end; returns its log."""

        def ended() -> Object | None:
            found = self.read(self.path("pods", pod))
            assert found is not None, f"the pod {pod} is gone"
            return found if found["status"].get("phase") in ("Succeeded", "Failed") else None

        try:
            found = wait_for(ended, f"the end of {pod}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.why(pod)}") from error
        log = self.log(pod)
        phase = found["status"]["phase"]
        assert phase == expected, f"{pod} is {phase}:\n{log[-6000:]}\n{found['status']}"
        return log

    def why(self, pod: str) -> str:
        """What a pod waits for: its status, its log, its events."""
        found = self.read(self.path("pods", pod)) or {}
        query = {"fieldSelector": f"involvedObject.name={pod}"}
        events = self.cluster.request("GET", self.path("events"), query).get("items") or ()
        told = [f"{each.get('reason')}: {each.get('message')}" for each in events]
        return "\n".join([str(found.get("status")), *told, self.log(pod)[-4000:]])

    def run_session(self, run: str, *steps: Object) -> str:
        """Run a session to its end; returns its log."""
        return self.finish(self.start_session(run, *steps))

    def show(self, store: str, run: str, *names: str) -> list[bytes]:
        """Objects of a run, read by a pod: the store may be seen by the cluster only."""
        keys = [f"runs/{run}/{name}" for name in names]
        found = session.shown(
            self.run_session(run, *({"show": key, "store": store} for key in keys))
        )
        return [found[key] for key in keys]

    def archive(self, store: str, run: str) -> bytes:
        """What a search found, byte for byte what every other way to run it finds."""
        (found,) = self.show(store, run, ARCHIVE)
        return found

    # Ends

    def tidy(self) -> None:
        """Take away every Job of searches and every pod that the tests started."""
        for job in self.list(self.jobs_path(), **{"app.kubernetes.io/name": "evoptim"}):
            self.remove(self.jobs_path(job["metadata"]["name"]))
        for name in self.pods_made:
            self.remove(self.path("pods", name), 0)
        self.pods_made.clear()
        wait_for(
            lambda: not self.list(self.jobs_path(), **{"app.kubernetes.io/name": "evoptim"}),
            "the end of all Jobs",
            120.0,
        )


def token_cluster(namespace: Namespace, account: str) -> Cluster:
    """The same cluster, with the rights of a service account of the namespace."""
    from kubernetes import client, config

    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": 600},
    }
    path = f"{namespace.path('serviceaccounts', account)}/token"
    token = namespace.cluster.request("POST", path, body=body)["status"]["token"]
    own, theirs = client.Configuration(), client.Configuration()
    config.load_kube_config(namespace.given.kubeconfig, client_configuration=own)
    # The server and how to trust it; none of the user's own credentials.
    for name in ("host", "ssl_ca_cert", "verify_ssl", "tls_server_name", "proxy", "no_proxy"):
        if hasattr(own, name):
            setattr(theirs, name, getattr(own, name))
    theirs.api_key = {"authorization": f"Bearer {token}"}
    theirs.retries = False
    return Cluster(client.ApiClient(theirs), Patience(total=60.0))


def read(cluster: Cluster, path: str) -> Object | None:
    """An object, or None."""
    try:
        return cluster.request("GET", path)
    except ApiError as error:
        if error.status == 404:
            return None
        raise


@contextmanager
def absent_is_fine() -> Iterator[None]:
    """Let what is to be deleted be gone already."""
    try:
        yield
    except ApiError as error:
        if error.status not in (404, 409):
            raise


def apply(cluster: Cluster, each: Object, dry_run: bool = False) -> None:
    """Make an object be as described; unknown fields are refused."""
    query = {"fieldValidation": "Strict", **({"dryRun": "All"} if dry_run else {})}
    path = collection(cluster, each)
    try:
        cluster.request("POST", path, query, each)
    except ApiError as error:
        if error.status != 409:
            raise
        cluster.request("PATCH", f"{path}/{each['metadata']['name']}", query, each)


def collection(cluster: Cluster, each: Object) -> str:
    """Path of all objects of a kind, by what the cluster says of its API."""
    version = each["apiVersion"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    for resource in cluster.request("GET", root)["resources"]:
        if resource["kind"] == each["kind"] and "/" not in resource["name"]:
            inside = (
                f"/namespaces/{each['metadata']['namespace']}" if resource["namespaced"] else ""
            )
            return f"{root}{inside}/{resource['name']}"
    raise AssertionError(f"the cluster has no {each['kind']} of {version}")


def has_api(cluster: Cluster, version: str, kind: str) -> bool:
    """Whether the cluster knows objects of this kind."""
    found = read(cluster, f"/apis/{version}")
    return found is not None and any(each["kind"] == kind for each in found["resources"])


def wait_for(found: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Wait until something is found; returns it."""
    deadline = time.monotonic() + seconds
    while not (result := found()):
        assert time.monotonic() < deadline, f"{what}: not in {seconds:.0f} s"
        time.sleep(_LOOK)
    return result


def is_running(pod: Object) -> bool:
    """Whether a pod's container has started and not ended."""
    statuses = pod["status"].get("containerStatuses") or ()
    alive = "deletionTimestamp" not in pod["metadata"]
    return alive and any("running" in (each.get("state") or {}) for each in statuses)


def is_worker(pod: Object) -> bool:
    """Whether a pod is one that trains."""
    labels = pod["metadata"].get("labels") or {}
    return labels.get(COMPONENT_LABEL) == "worker"


def gone(namespace: Namespace, path: str) -> None:
    """Wait until an object is gone."""
    wait_for(lambda: namespace.read(path) is None, f"the end of {path}", 120.0)


def quietly(action: Callable[[], object]) -> None:
    """Clean up as far as possible: an error here must not hide the one of a test."""
    with suppress(Exception):
        action()
