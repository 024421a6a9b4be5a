"""The fake API server with what submitting, following and examining ask for besides: Argo's
workflows, logs, reviews of rights, and objects that tests put there.
"""

from __future__ import annotations

import copy
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from fake_kfp import FakeKfp
from fake_kubernetes import NAMESPACE, TOKEN, FakeKubernetes, Object, _Handler, status_object

_WORKFLOW = re.compile(
    rf"/apis/argoproj\.io/v1alpha1/namespaces/{NAMESPACE}/workflows(?:/(?P<name>[^/]+))?"
)
_LOG = re.compile(rf"/api/v1/namespaces/{NAMESPACE}/pods/(?P<name>[^/]+)/log")
_PROXY = "/api/v1/namespaces/kubeflow/services/ml-pipeline:http/proxy"
_REVIEW = re.compile(r"/apis/authorization\.k8s\.io/v1/(?:namespaces/[^/]+/)?(?P<kind>\w+reviews)")


class FakeCluster(FakeKubernetes):
    """The state of the cluster."""

    def __init__(self) -> None:
        super().__init__()
        self.workflows: dict[str, Object] = {}
        self.has_argo = True
        self.logs: dict[str, str] = {}
        self.found: dict[str, Object] = {"/version": {"gitVersion": "v1.33.1"}}
        """What GET of a path answers; a listing is an object with ``items``."""
        self.forbidden: set[str] = set()
        """Beginnings of paths that nobody may ask for."""
        self.denied: set[tuple[str, str]] = set()
        """Verb and resource that a review says no to."""
        self.reviewed: list[Object] = []
        self.skew = timedelta(0)
        self.kfp: FakeKfp | None = None
        """What is behind the Service of KFP, for those who come through the API server."""

    def end_workflow(self, phase: str, **status: Any) -> None:
        """Put the only workflow into a phase."""
        (workflow,) = self.workflows.values()
        workflow["status"] = {"phase": phase, **status}

    def put_pod(self, name: str, phase: str, labels: Object, **more: Any) -> None:
        """Add a pod, with what it printed as ``log``."""
        log = more.pop("log", None)
        annotations = more.pop("annotations", {})
        metadata = {"name": name, "labels": labels, "annotations": annotations}
        self.put("pods", {"metadata": metadata, "status": {"phase": phase, **more}})
        if log is not None:
            self.logs[name] = log

    def answer_more(
        self, method: str, path: str, query: dict[str, str], body: Object
    ) -> tuple[int, Any]:
        if self.kfp is not None and path.startswith(_PROXY):
            code, answer = self.kfp.answer(method, path[len(_PROXY) :], query, body)
            return code, answer
        if any(path.startswith(each) for each in self.forbidden):
            return 403, status_object(403, "Forbidden", f"User cannot ask for {path}")
        if (found := _WORKFLOW.fullmatch(path)) and self.has_argo:
            return self.workflow(method, found["name"], body)
        if found := _LOG.fullmatch(path):
            text = self.logs.get(found["name"])
            waiting = status_object(400, "BadRequest", "container is waiting to start")
            return (400, waiting) if text is None else (200, text)
        if (found := _REVIEW.fullmatch(path)) and method == "POST":
            self.reviewed.append(body)
            asked = body["spec"]["resourceAttributes"]
            resource = "/".join(filter(None, (asked["resource"], asked.get("subresource"))))
            return 201, {
                **body,
                "status": {"allowed": (asked["verb"], resource) not in self.denied},
            }
        if method == "GET" and path in self.found:
            return 200, copy.deepcopy(self.found[path])
        if method == "GET" and path.endswith(("/resourcequotas", "/limitranges", "/nodes")):
            return 200, {"items": []}
        return 404, status_object(404, "NotFound", "the server could not find the resource")

    def workflow(self, method: str, name: str | None, body: Object) -> tuple[int, Any]:
        if method == "POST":
            name = body["metadata"]["name"]
            if name in self.workflows:
                return 409, status_object(409, "AlreadyExists", f'workflows "{name}" exists')
            body["metadata"]["uid"] = str(uuid.uuid4())
            self.workflows[name] = body
            return 201, copy.deepcopy(body)
        workflow = self.workflows.get(name or "")
        if workflow is None:
            return 404, status_object(404, "NotFound", f'workflows "{name}" not found')
        if method == "PATCH":
            workflow["spec"].update(body["spec"])
        return 200, copy.deepcopy(workflow)


class _ClusterHandler(_Handler):
    cluster: FakeCluster

    def do_PATCH(self) -> None:
        assert self.headers["Content-Type"] == "application/merge-patch+json"
        self.handle_request("PATCH")

    def answer(
        self, method: str, path: str, query: dict[str, str], body: Object
    ) -> tuple[int, Any]:
        mine = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if mine:
            code, found = self.cluster.answer_more(method, path, query, body)
            if code != 404 or _WORKFLOW.fullmatch(path):
                return code, found
        return super().answer(method, path, query, body)

    def reply(self, code: int, found: Any, headers: Any = (), torn: bool = False) -> None:
        if not isinstance(found, str):
            super().reply(code, found, headers, torn)
            return
        data = found.encode()
        self.send_response(code)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return format_datetime(datetime.now(timezone.utc) + self.cluster.skew, usegmt=True)


def asked_for(cluster: FakeCluster) -> set[tuple[str, str]]:
    """Verb and resource of every request that rights are needed for."""
    asked = set()
    for method, path, _ in cluster.requests:
        parts = urlsplit(path).path.strip("/").split("/")
        if "namespaces" not in parts:
            continue
        rest = parts[parts.index("namespaces") + 2 :]
        if not rest:
            continue
        resource = rest[0] if len(rest) < 3 else f"{rest[0]}/{rest[2]}"
        verb = {"POST": "create", "PATCH": "patch", "DELETE": "delete", "WATCH": "watch"}.get(
            method, "get" if len(rest) > 1 else "list"
        )
        asked.add((verb, resource))
    return asked


def job(name: str, labels: Object, completions: int = 4, **status: Any) -> Object:
    """An Indexed Job."""
    return {
        "metadata": {"name": name, "labels": labels, "uid": str(uuid.uuid4())},
        "spec": {"completions": completions},
        "status": status,
    }


@contextmanager
def fake_cluster() -> Iterator[FakeCluster]:
    """A cluster without nodes, at work on a port of this machine."""
    cluster = FakeCluster()
    handler = type("Handler", (_ClusterHandler,), {"cluster": cluster})
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
