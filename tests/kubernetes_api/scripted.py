"""A cluster of one namespace in which tests say what becomes of Jobs, pods and events.

It validates what is created, allows the verbs of the Role ``evoptim-search`` only, and misbehaves
on demand. Its Job controller runs the indices of a Job as plain calls.
"""

from __future__ import annotations

import copy
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from kubernetes_api.objects import Objects, check_schema, expired
from kubernetes_api.paths import place_of
from kubernetes_api.wire import (
    Connection,
    Object,
    Refused,
    Request,
    serve,
    status_object,
    write_kubeconfig,
)

NAMESPACE = "evoptim"
TOKEN = "token-of-evoptim-search"

Task = Callable[[int, dict[str, str]], int]
"""Runs one index with the environment of its container; returns the exit code."""

# What the Role evoptim-search allows.
ALLOWED = {
    "jobs": {"create", "get", "list", "watch", "delete"},
    "pods": {"get", "list", "watch"},
    "events": {"get", "list", "watch"},
}


@dataclass
class Fault:
    """What happens to one request, once."""

    action: str
    """``reset``, ``truncate``, ``expire`` (a watch's 410 event), or an HTTP status."""
    method: str = ""
    """Only requests of this method; a watch's is ``WATCH``."""
    headers: tuple[tuple[str, str], ...] = ()
    message: str = "the server is told to fail"
    after: bool = False
    """Whether the request is carried out before its answer is lost."""


class FakeKubernetes(Objects):
    """The state of the cluster, and how it answers."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: deque[Fault] = deque()
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.created: list[Object] = []
        self.deletions: list[Object] = []
        self.on_create: Callable[[Object], None] = lambda job: None
        self.deletion_seconds = 0.02
        self.skew = timedelta(0)
        self.url = ""

    # For tests

    def kubeconfig(self, folder: Path) -> Path:
        """Write a kubeconfig file for this server."""
        return write_kubeconfig(folder / "kubeconfig", self.url, TOKEN)

    def fail(self, *actions: str, **more: Any) -> None:
        """Let the next requests that match fail, one for each action."""
        self.faults.extend(Fault(action, **more) for action in actions)

    def jobs(self) -> list[Object]:
        with self.changed:
            return [copy.deepcopy(job) for job in self.objects["jobs"].values()]

    def seen(self, method: str, part: str = "") -> int:
        """How many requests of this method had this in their path."""
        return sum(method == each[0] and part in each[1] for each in list(self.requests))

    def wait_for(self, holds: Callable[[], object], seconds: float = 20.0) -> None:
        """Wait until something holds of this cluster."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"nothing came of it: {self.requests[-5:]}"
            time.sleep(0.01)

    def set_status(self, name: str, **status: Any) -> None:
        """Change a Job's status."""
        with self.changed:
            job = self.objects["jobs"].get(name)
            if job is not None:
                job["status"] = {**job.get("status", {}), **status}
                self.note("jobs", "MODIFIED", job)

    def end(self, name: str, kind: str, reason: str = "", message: str = "") -> None:
        """Add a condition to a Job."""
        with self.changed:
            job = self.objects["jobs"].get(name)
            if job is None:
                return
            conditions = job.get("status", {}).get("conditions", [])
            told = {"type": kind, "status": "True", "reason": reason, "message": message}
            self.set_status(name, conditions=[*conditions, told])

    def put(self, kind: str, found: Object) -> None:
        """Add or replace a pod or an event."""
        with self.changed:
            self.objects[kind][found["metadata"]["name"]] = found

    def vanish(self, name: str) -> None:
        """Delete a Job behind everybody's back."""
        with self.changed:
            self.take("jobs", name)
            for pod in [each for each in self.objects["pods"] if each.startswith(f"{name}-")]:
                del self.objects["pods"][pod]

    def run_indices(self, job: Object, task: Task) -> None:
        """Be the Job controller, and the nodes: one index after another."""
        name, spec = job["metadata"]["name"], job["spec"]
        (container,) = spec["template"]["spec"]["containers"]
        environment = {each["name"]: each.get("value", "") for each in container["env"]}
        done: list[int] = []
        failed: list[int] = []
        self.set_status(name, active=1)
        for index in range(spec["completions"]):
            for attempt in range(spec["backoffLimitPerIndex"] + 1):
                if not self._is(job):
                    return
                code = task(index, environment)
                if code:
                    self.put("pods", failed_pod(f"{name}-{index}-{attempt}", name, code))
                if code == 2:
                    self.end(name, "FailureTarget", "PodFailurePolicy", "exit code 2")
                    self.end(name, "Failed", "PodFailurePolicy", "exit code 2")
                    return
                if not code:
                    done.append(index)
                    break
            else:
                failed.append(index)
            failing = ",".join(map(str, failed))
            self.set_status(name, succeeded=len(done), failedIndexes=failing)
            if len(failed) > spec["maxFailedIndexes"]:
                self.end(name, "Failed", "MaxFailedIndexesExceeded", "too many failed indexes")
                return
        self.set_status(name, active=0)
        if failed:
            self.end(name, "Failed", "FailedIndexes", "Job has failed indexes")
        else:
            self.end(name, "Complete")

    def controller(self, task: Task) -> None:
        """Run every Job that is created from now on."""
        self.on_create = lambda job: threading.Thread(
            target=self.run_indices, args=(job, task), daemon=True
        ).start()

    def _is(self, job: Object) -> bool:
        with self.changed:
            found = self.objects["jobs"].get(job["metadata"]["name"])
            return found is not None and found["metadata"]["uid"] == job["metadata"]["uid"]

    # For the server

    def handle(self, request: Request, connection: Connection) -> None:
        """Answer, or misbehave."""
        method = "WATCH" if request.watches else request.method
        self.requests.append((method, request.path, request.query))
        if self.down:
            connection.hang_up()
            return
        fault = self._take_fault(method)
        if fault is None:
            self._serve(request, connection)
            return
        if fault.after:
            self.answer(request)
        if fault.action == "reset":
            connection.hang_up()
        elif fault.action.isdecimal():
            code = int(fault.action)
            connection.reply(code, status_object(code, "", fault.message), fault.headers)
        elif fault.action == "expire":
            self.answer(request)
            connection.stream(iter([expired()]))
        elif request.watches:
            self.answer(request)
            connection.start_stream()
            connection.chunk(b'{"type": "MODIFIED", "obj')
            connection.hang_up()
        else:
            code, found = self.answer(request)
            connection.reply(code, found, torn=True)

    def _serve(self, request: Request, connection: Connection) -> None:
        code, found = self.answer(request)
        if not request.watches:
            connection.reply(code, found)
            return
        place = place_of(request.path)
        assert place is not None
        connection.stream(self.events_since(place.kind, request.query))
        if self.down:
            connection.hang_up()

    def _take_fault(self, method: str) -> Fault | None:
        with self.changed:
            for fault in self.faults:
                if fault.method in ("", method):
                    self.faults.remove(fault)
                    return fault
        return None

    def answer(self, request: Request) -> tuple[int, Any]:
        """Do what is asked; raises ``Refused``."""
        if request.token != TOKEN:
            raise Refused(401, "Unauthorized", "Unauthorized")
        place = place_of(request.path)
        if place is None or place.kind not in ("jobs", "pods", "events") or place.part:
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        kind, name, verb = place.kind, place.name, request.verb(place.name)
        if verb not in ALLOWED.get(kind, ()):
            raise Refused(403, "Forbidden", f"User cannot {verb} resource {kind}")
        if place.namespace != NAMESPACE and verb == "list":
            return 200, {"items": [], "metadata": {"resourceVersion": "1"}}
        if place.namespace != NAMESPACE:
            raise Refused(404, "NotFound", f'namespaces "{place.namespace}" not found')
        if verb == "create":
            return 201, self.create(request.body)
        if verb == "delete":
            return 200, self._delete(name, request.options())
        if verb == "get":
            return 200, self.read(kind, name)
        return 200, self.listing(kind, request.query)

    def create(self, job: Object) -> Object:
        """Create a Job."""
        check_schema(job)
        created = self.add("jobs", job)
        self.created.append(copy.deepcopy(created))
        self.on_create(created)
        return created

    def _delete(self, name: str, options: Object) -> Object:
        self.deletions.append(options)
        found = self.mark_deleted("jobs", name, options)
        threading.Timer(self.deletion_seconds, self.vanish, [name]).start()
        return found


def pod(name: str, job: str, phase: str, **status: Any) -> Object:
    """A pod of a Job."""
    labels = {"batch.kubernetes.io/job-name": job}
    return {"metadata": {"name": name, "labels": labels}, "status": {"phase": phase, **status}}


def failed_pod(name: str, job: str, code: int, message: str = "error: it was told to") -> Object:
    """A pod whose container ended with this exit code."""
    reason = "OOMKilled" if code == 137 else "Error"
    ended = {"exitCode": code, "reason": reason, "message": message}
    status = {"name": "main", "state": {"terminated": ended}}
    return pod(name, job, "Failed", containerStatuses=[status])


@contextmanager
def fake_kubernetes() -> Iterator[FakeKubernetes]:
    """A cluster without nodes, at work on a port of this machine."""
    with at_work(FakeKubernetes()) as cluster:
        yield cluster


@contextmanager
def at_work(cluster: Any) -> Iterator[Any]:
    """Serve a cluster, and tell it its URL."""
    with serve(cluster) as cluster.url:
        try:
            yield cluster
        finally:
            cluster.down = True
