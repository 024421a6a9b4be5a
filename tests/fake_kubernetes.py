"""An HTTP server that speaks the part of the Kubernetes API that our code calls.

It keeps Jobs, pods and events, streams watches, validates what is created against Kubernetes' own
published schema, allows the verbs of the Role ``evoptim-search`` only, and misbehaves on demand.
Its Job controller runs the indices of a Job as plain calls.
"""

from __future__ import annotations

import copy
import json
import re
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import kubernetes_validate

NAMESPACE = "evoptim"
TOKEN = "token-of-evoptim-search"
KUBERNETES = "1.33"

Object = dict[str, Any]
Task = Callable[[int, dict[str, str]], int]
"""Runs one index with the environment of its container; returns the exit code."""

# What the Role evoptim-search allows.
ALLOWED = {
    "jobs": {"create", "get", "list", "watch", "delete"},
    "pods": {"get", "list", "watch"},
    "events": {"get", "list", "watch"},
}
_PATH = re.compile(
    r"/(?:apis/batch/v1|api/v1)/namespaces/(?P<namespace>[^/]+)/(?P<kind>jobs|pods|events)"
    r"(?:/(?P<name>[^/]+))?"
)


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


class FakeKubernetes:
    """The state of the cluster, and the server that shows it."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Object]] = {"jobs": {}, "pods": {}, "events": {}}
        self.history: list[tuple[int, str, Object]] = []
        self.version = 100
        self.forgotten = 0
        self.changed = threading.Condition()
        self.faults: deque[Fault] = deque()
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.created: list[Object] = []
        self.deletions: list[Object] = []
        self.on_create: Callable[[Object], None] = lambda job: None
        self.deletion_seconds = 0.02
        self.down = False
        self.url = ""

    # For tests

    def kubeconfig(self, folder: Path) -> Path:
        """Write a kubeconfig file for this server."""
        path = folder / "kubeconfig"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": self.url}}],
            "users": [{"name": "search", "user": {"token": TOKEN}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "search"}}],
        }
        path.write_text(json.dumps(config))
        return path

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
                self._note("MODIFIED", job)

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
            job = self.objects["jobs"].pop(name, None)
            for pod in [each for each in self.objects["pods"] if each.startswith(f"{name}-")]:
                del self.objects["pods"][pod]
            if job is not None:
                self._note("DELETED", job)

    def forget(self) -> None:
        """Let every watch that starts from before now be told 410."""
        with self.changed:
            self.version += 1
            self.forgotten = self.version
            self.history.clear()

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

    # For the server

    def _is(self, job: Object) -> bool:
        with self.changed:
            found = self.objects["jobs"].get(job["metadata"]["name"])
            return found is not None and found["metadata"]["uid"] == job["metadata"]["uid"]

    def _note(self, kind: str, job: Object) -> None:
        with self.changed:
            self.version += 1
            job["metadata"]["resourceVersion"] = str(self.version)
            self.history.append((self.version, kind, copy.deepcopy(job)))
            self.changed.notify_all()

    def take_fault(self, method: str) -> Fault | None:
        with self.changed:
            for fault in self.faults:
                if fault.method in ("", method):
                    self.faults.remove(fault)
                    return fault
        return None

    def create(self, job: Object) -> tuple[int, Object]:
        name = job["metadata"]["name"]
        try:
            kubernetes_validate.validate(job, KUBERNETES, strict=True)
        except kubernetes_validate.ValidationError as error:
            return 422, status_object(422, "Invalid", error.message)
        with self.changed:
            if name in self.objects["jobs"]:
                return 409, status_object(409, "AlreadyExists", f'jobs.batch "{name}" exists')
            job["metadata"]["uid"] = str(uuid.uuid4())
            self.objects["jobs"][name] = job
            self._note("ADDED", job)
            self.created.append(copy.deepcopy(job))
            created = copy.deepcopy(job)
        self.on_create(created)
        return 201, created

    def delete(self, name: str, options: Object) -> tuple[int, Object]:
        self.deletions.append(options)
        with self.changed:
            job = self.objects["jobs"].get(name)
            if job is None:
                return 404, status_object(404, "NotFound", f'jobs.batch "{name}" not found')
            wanted = options.get("preconditions", {}).get("uid")
            if wanted not in (None, job["metadata"]["uid"]):
                return 409, status_object(409, "Conflict", "the UID is another")
            job["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z"
            self._note("MODIFIED", job)
            found = copy.deepcopy(job)
        threading.Timer(self.deletion_seconds, self.vanish, [name]).start()
        return 200, found

    def listing(self, kind: str, query: dict[str, str]) -> Object:
        with self.changed:
            found = [
                copy.deepcopy(each)
                for _, each in sorted(self.objects[kind].items())
                if selected(each, query)
            ]
            limit = int(query.get("limit", "0")) or len(found)
            return {"items": found[:limit], "metadata": {"resourceVersion": str(self.version)}}

    def events_since(
        self, version: int, query: dict[str, str], deadline: float
    ) -> Iterator[Object]:
        if version < self.forgotten:
            expired = status_object(410, "Expired", "too old resource version")
            yield {"type": "ERROR", "object": expired}
            return
        while time.monotonic() < deadline and not self.down:
            with self.changed:
                fresh = [each for each in self.history if each[0] > version]
                if not fresh:
                    self.changed.wait(0.05)
            for number, kind, job in fresh:
                version = number
                if selected(job, query):
                    yield {"type": kind, "object": job}


def selected(found: Object, query: dict[str, str]) -> bool:
    """Whether an object is what the selectors of a query ask for."""
    labels = found["metadata"].get("labels", {})
    wanted = dict(part.split("=", 1) for part in query.get("labelSelector", "").split(",") if part)
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    fields = dict(part.split("=", 1) for part in query.get("fieldSelector", "").split(",") if part)
    for path, value in fields.items():
        at: Any = found
        for part in path.split("."):
            at = at.get(part, {}) if isinstance(at, dict) else {}
        if at != value:
            return False
    return True


def status_object(code: int, reason: str, message: str) -> Object:
    """The body of a refusal."""
    return {"kind": "Status", "code": code, "reason": reason, "message": message}


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


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body are two writes: Nagle's algorithm would hold the second back for 40 ms.
    disable_nagle_algorithm = True
    cluster: FakeKubernetes

    def do_GET(self) -> None:
        self.handle_request("GET")

    def do_POST(self) -> None:
        self.handle_request("POST")

    def do_DELETE(self) -> None:
        self.handle_request("DELETE")

    def handle_request(self, method: str) -> None:
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query))
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size) or b"{}")
        watches = query.get("watch") == "true"
        self.cluster.requests.append(("WATCH" if watches else method, url.path, query))
        if self.cluster.down:
            self.hang_up()
            return
        fault = self.cluster.take_fault("WATCH" if watches else method)
        if fault is not None and fault.after:
            self.answer(method, url.path, query, body)
        if fault is not None and self.misbehave(fault):
            return
        code, found = self.answer(method, url.path, query, body)
        if code == 200 and watches:
            self.stream(query, fault)
        else:
            self.reply(code, found, torn=fault is not None and fault.action == "truncate")

    def answer(
        self, method: str, path: str, query: dict[str, str], body: Object
    ) -> tuple[int, Object]:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return 401, status_object(401, "Unauthorized", "Unauthorized")
        found = _PATH.fullmatch(path)
        if found is None:
            return 404, status_object(404, "NotFound", f"no such path {path}")
        namespace, kind, name = found.group("namespace", "kind", "name")
        verb = {"POST": "create", "DELETE": "delete"}.get(method, "get" if name else "list")
        if "watch" in query:
            verb = "watch"
        if verb not in ALLOWED[kind]:
            told = f"User cannot {verb} resource {kind}"
            return 403, status_object(403, "Forbidden", told)
        if namespace != NAMESPACE and verb == "list":
            return 200, {"items": [], "metadata": {"resourceVersion": "1"}}
        if namespace != NAMESPACE:
            return 404, status_object(404, "NotFound", f'namespaces "{namespace}" not found')
        if verb == "create":
            return self.cluster.create(body)
        if verb == "delete":
            # As the API server does: a body makes it ignore the query's options.
            return self.cluster.delete(name, body or query)
        if verb == "get":
            with self.cluster.changed:
                one = copy.deepcopy(self.cluster.objects[kind].get(name))
            missing = status_object(404, "NotFound", f'{kind} "{name}" not found')
            return (404, missing) if one is None else (200, one)
        return 200, self.cluster.listing(kind, query)

    def misbehave(self, fault: Fault) -> bool:
        """Answer wrongly, if this fault is about the answer; else it is about the body."""
        if fault.action == "reset":
            self.hang_up()
            return True
        if fault.action.isdecimal():
            code = int(fault.action)
            self.reply(code, status_object(code, "", fault.message), headers=fault.headers)
            return True
        return False

    def stream(self, query: dict[str, str], fault: Fault | None) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if fault is not None and fault.action == "expire":
            expired = status_object(410, "Expired", "too old resource version")
            self.chunk(json.dumps({"type": "ERROR", "object": expired}).encode() + b"\n")
            self.chunk(b"")
            return
        deadline = time.monotonic() + float(query["timeoutSeconds"])
        version = int(query["resourceVersion"])
        if fault is not None and fault.action == "truncate":
            self.chunk(b'{"type": "MODIFIED", "obj')
            self.hang_up()
            return
        for event in self.cluster.events_since(version, query, deadline):
            line = json.dumps(event).encode() + b"\n"
            # As networks do: lines do not end where packets end.
            self.chunk(line[:50])
            self.chunk(line[50:])
        if self.cluster.down:
            self.hang_up()
        else:
            self.chunk(b"")

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def reply(
        self,
        code: int,
        found: Object,
        headers: Sequence[tuple[str, str]] = (),
        torn: bool = False,
    ) -> None:
        body = json.dumps(found).encode()
        self.send_response(code)
        for name, value in (("Content-Length", str(len(body))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if torn else body)
        if torn:
            self.hang_up()

    def hang_up(self) -> None:
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def fake_kubernetes() -> Iterator[FakeKubernetes]:
    """A cluster without nodes, at work on a port of this machine."""
    cluster = FakeKubernetes()
    handler = type("Handler", (_Handler,), {"cluster": cluster})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    cluster.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield cluster
    finally:
        cluster.down = True
        server.shutdown()
        server.server_close()
        thread.join()
