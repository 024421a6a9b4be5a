"""The scripted cluster with what submitting, following and examining ask for besides: Argo's
workflows, logs, reviews of rights, and objects that tests put there.
"""

from __future__ import annotations

import copy
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fake_kfp import FakeKfp
from kubelet_log import served

from kubernetes_api.paths import place_of
from kubernetes_api.scripted import NAMESPACE, TOKEN, FakeKubernetes, at_work
from kubernetes_api.wire import Object, Refused, Request

_PROXY = "/api/v1/namespaces/kubeflow/services/ml-pipeline:http/proxy"
_REVIEW = re.compile(r"/apis/authorization\.k8s\.io/v1/(?:namespaces/[^/]+/)?\w+reviews")
_WORKFLOWS = f"/apis/argoproj.io/v1alpha1/namespaces/{NAMESPACE}/workflows"
_EMPTY = ("/resourcequotas", "/limitranges", "/nodes")


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
        self.kfp: FakeKfp | None = None
        """What is behind the Service of KFP, for those who come through the API server."""

    def end_workflow(self, phase: str, **status: Any) -> None:
        """Put the only workflow into a phase."""
        ((name, workflow),) = self.workflows.items()
        # Another thread may be copying the old one for its answer.
        self.workflows[name] = {**workflow, "status": {"phase": phase, **status}}

    def put_pod(self, name: str, phase: str, labels: Object, **more: Any) -> None:
        """Add a pod, with what it printed as ``log``."""
        log = more.pop("log", None)
        annotations = more.pop("annotations", {})
        metadata = {"name": name, "labels": labels, "annotations": annotations}
        self.put("pods", {"metadata": metadata, "status": {"phase": phase, **more}})
        if log is not None:
            self.logs[name] = log

    def answer(self, request: Request) -> tuple[int, Any]:
        """As its base does, and more."""
        path, method = request.path, request.method
        if request.token != TOKEN:
            return super().answer(request)
        if self.kfp is not None and path.startswith(_PROXY):
            answered: tuple[int, Any] = self.kfp.answer(
                method, path[len(_PROXY) :], request.query, request.body
            )
            return answered
        if any(path.startswith(each) for each in self.forbidden):
            raise Refused(403, "Forbidden", f"User cannot ask for {path}")
        place = place_of(path)
        if self.has_argo and path.startswith(_WORKFLOWS):
            return self._workflow(method, path[len(_WORKFLOWS) + 1 :], request.body)
        if place is not None and place.namespace == NAMESPACE and place.resource == "pods/log":
            if place.name not in self.logs:
                raise Refused(400, "BadRequest", "container is waiting to start")
            return 200, served(self.logs[place.name], request.query)
        if _REVIEW.fullmatch(path) and method == "POST":
            return 201, self._review(request.body)
        if method == "GET" and path in self.found:
            return 200, copy.deepcopy(self.found[path])
        if method == "GET" and path.endswith(_EMPTY):
            return 200, {"items": []}
        return super().answer(request)

    def _review(self, body: Object) -> Object:
        self.reviewed.append(body)
        asked = body["spec"]["resourceAttributes"]
        resource = "/".join(filter(None, (asked["resource"], asked.get("subresource"))))
        return {**body, "status": {"allowed": (asked["verb"], resource) not in self.denied}}

    def _workflow(self, method: str, name: str, body: Object) -> tuple[int, Any]:
        if method == "POST":
            name = body["metadata"]["name"]
            if name in self.workflows:
                raise Refused(409, "AlreadyExists", f'workflows "{name}" exists')
            body["metadata"]["uid"] = str(uuid.uuid4())
            self.workflows[name] = body
            return 201, copy.deepcopy(body)
        workflow = self.workflows.get(name)
        if workflow is None:
            raise Refused(404, "NotFound", f'workflows "{name}" not found')
        if method == "PATCH":
            workflow["spec"].update(body["spec"])
        return 200, copy.deepcopy(workflow)


def asked_for(cluster: FakeCluster) -> set[tuple[str, str]]:
    """Verb and resource of every request that rights are needed for."""
    asked = set()
    for method, path, query in cluster.requests:
        place = place_of(path)
        if place is None or not place.namespace:
            continue
        asks = Request("GET" if method == "WATCH" else method, path, query, {}, "")
        asked.add((asks.verb(place.name), place.resource))
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
    with at_work(FakeCluster()) as cluster:
        yield cluster
