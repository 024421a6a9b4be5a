"""A cluster of processes: the Kubernetes API as far as tests of real clusters use it, and a node.

Objects are kept, validated against Kubernetes' published schema and admitted as a cluster admits
them. What a service account may do is what the Roles that were applied say, and where a pod may go
what the network policies say. Controllers drive Jobs and Argo's workflows. It shows that tests do
what they mean to, not that a cluster would let them: there is no kernel, and no image, around pods.
"""

from __future__ import annotations

import copy
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from kubernetes_api import admission, rights
from kubernetes_api.jobs import JobController
from kubernetes_api.node import Node, condition
from kubernetes_api.objects import Objects, check_schema, now
from kubernetes_api.paths import Place, place_of, resources
from kubernetes_api.wire import (
    Connection,
    Object,
    Refused,
    Request,
    serve,
    write_kubeconfig,
)
from kubernetes_api.workflows import WorkflowController

GRACE = 30


class ToyCluster:
    """The API server, its controllers, and one node."""

    def __init__(self, folder: Path, has_argo: bool = False) -> None:
        self.folder = folder
        self.has_argo = has_argo
        self.spaces: defaultdict[str, Objects] = defaultdict(Objects)
        """Objects by namespace; those that belong to none under the empty name."""
        self.node = Node(folder, self._kubeconfig_of)
        self.skew = timedelta(0)
        self.url = ""

    def kubeconfig(self, token: str = rights.ADMIN) -> Path:
        """Write a kubeconfig for the bearer of a token."""
        path = self.folder / f"kubeconfig-{token.replace(':', '-')}"
        return write_kubeconfig(path, self.url, token)

    def _kubeconfig_of(self, namespace: str, account: str) -> Path:
        return self.kubeconfig(rights.token_of(namespace, account))

    def namespaces(self) -> set[str]:
        """Names of all namespaces."""
        return set(self.spaces[""].objects["namespaces"])

    # Requests

    def handle(self, request: Request, connection: Connection) -> None:
        """Answer a request; raises ``Refused``."""
        version = request.path.removeprefix("/apis/").removeprefix("/api/")
        if request.path == "/version":
            connection.reply(200, {"gitVersion": "v1.33.1"})
            return
        if (rows := resources(version, "" if self.has_argo else "argoproj.io")) is not None:
            connection.reply(200, {"resources": rows})
            return
        place = place_of(request.path)
        if place is None or (place.group == "argoproj.io" and not self.has_argo):
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        space = self.spaces[place.namespace]
        verb = request.verb(place.name)
        # The right to see a namespace may be granted in it.
        inside = self.spaces[place.name] if place.kind == "namespaces" else space
        rights.check(request.token, verb, place, inside)
        if verb == "watch":
            connection.stream(space.events_since(place.kind, request.query))
        elif place.part:
            connection.reply(*self._part(place, space, request.body))
        elif verb == "create":
            connection.reply(201, self._create(place, space, request.body, request.dry))
        elif verb == "patch":
            connection.reply(200, self._merge(place, space, request.body, request.dry))
        elif verb == "delete":
            connection.reply(200, self._delete(place, space, request.options()))
        elif verb == "get":
            connection.reply(200, space.read(place.kind, place.name))
        else:
            connection.reply(200, space.listing(place.kind, request.query))

    def _part(self, place: Place, space: Objects, body: Object) -> tuple[int, Any]:
        if place.resource == "serviceaccounts/token":
            space.read("serviceaccounts", place.name)
            return 201, {"status": {"token": rights.token_of(place.namespace, place.name)}}
        found = space.read("pods", place.name)
        if place.resource == "pods/eviction":
            told = "Eviction API: evicting"
            with space.changed:
                pod = space.original("pods", place.name)
                disrupted = condition("DisruptionTarget", "EvictionByEvictionAPI", told)
                pod["status"].setdefault("conditions", []).append(disrupted)
                space.note("pods", "MODIFIED", pod)
            seconds = (body.get("deleteOptions") or {}).get("gracePeriodSeconds", GRACE)
            self.end_pod(space, place.name, seconds)
            return 201, {"kind": "Status", "status": "Success"}
        if place.resource == "pods/log":
            log = self.node.log(found)
            if log is None:
                told = f'container "main" in pod "{place.name}" is waiting to start'
                raise Refused(400, "BadRequest", f"{told}: ContainerCreating")
            return 200, log
        raise Refused(404, "NotFound", "the server could not find the requested resource")

    # Objects

    def _create(self, place: Place, space: Objects, each: Object, dry: bool) -> Object:
        kind, namespace = place.kind, place.namespace
        if namespace:
            home = self.spaces[""].objects["namespaces"].get(namespace)
            if home is None:
                raise Refused(404, "NotFound", f'namespaces "{namespace}" not found')
            if "deletionTimestamp" in home["metadata"]:
                told = f"unable to create new content in namespace {namespace}"
                raise Refused(403, "Forbidden", f"{told} because it is being terminated")
        if not each.get("metadata", {}).get("name"):
            raise Refused(422, "Invalid", "metadata.name: Required value")
        if place.group != "argoproj.io":
            check_schema(each)
        if kind in ("pods", "jobs"):
            admission.check_quota(kind, each, space)
        if kind == "pods":
            labels = home["metadata"].get("labels") or {}
            admission.check_pod(each, space, labels, self.spaces[""])
        if dry:
            if each["metadata"]["name"] in space.objects[kind]:
                told = f'{kind} "{each["metadata"]["name"]}" already exists'
                raise Refused(409, "AlreadyExists", told)
            return each
        each = copy.deepcopy(each)
        if kind == "services":
            each["spec"]["clusterIP"] = "127.0.0.1"
        if kind == "secrets":
            each["data"] = {**each.get("data", {}), **each.pop("stringData", {})}
        if kind in ("pods", "jobs"):
            each["status"] = {"phase": "Pending"} if kind == "pods" else {}
        made = space.add(kind, each)
        self._react(kind, space, each)
        return made

    def _react(self, kind: str, space: Objects, each: Object) -> None:
        """Start what controllers and the node do about a new object."""
        if kind == "pods":
            _in_thread(self.node.run, space, each)
        elif kind == "jobs" and not each["spec"].get("suspend"):
            job = JobController(space, each, self._creator(each), self._ender(space, GRACE))
            _in_thread(job.run)
        elif kind == "workflows":
            controller = WorkflowController(
                space, each, self._creator(each), self._ender(space, GRACE), self.node.output
            )
            _in_thread(controller.run)
        elif kind == "resourcequotas":
            _in_thread(self._count_quota, space, each)
        elif kind == "namespaces":
            account = {"apiVersion": "v1", "kind": "ServiceAccount"}
            name = each["metadata"]["name"]
            self.spaces[name].add("serviceaccounts", {**account, "metadata": {"name": "default"}})

    def _creator(self, owner: Object) -> Callable[[Object], object]:
        namespace = owner["metadata"]["namespace"]
        place = Place("", namespace, "pods", "", "")
        return lambda pod: self._create(place, self.spaces[namespace], pod, dry=False)

    def _ender(self, space: Objects, seconds: float) -> Callable[[str], object]:
        return lambda name: self.end_pod(space, name, seconds)

    def _count_quota(self, space: Objects, quota: Object) -> None:
        time.sleep(0.5)
        with space.changed:
            quota["status"] = {"hard": quota["spec"]["hard"], "used": {}}
            space.note("resourcequotas", "MODIFIED", quota)

    def _merge(self, place: Place, space: Objects, patch: Object, dry: bool) -> Object:
        with space.changed:
            found = space.original(place.kind, place.name)
            if dry:
                return copy.deepcopy(found)
            if place.kind == "secrets":
                patch = copy.deepcopy(patch)
                patch["data"] = {**patch.get("data", {}), **patch.pop("stringData", {})}
            _merge_into(found, patch)
            space.note(place.kind, "MODIFIED", found)
            return copy.deepcopy(found)

    # Ends

    def _delete(self, place: Place, space: Objects, options: Object) -> Object:
        kind, name = place.kind, place.name
        if kind == "pods":
            seconds = float(options.get("gracePeriodSeconds", GRACE))
            found = space.read(kind, name)
            self.end_pod(space, name, seconds)
            return found
        found = space.mark_deleted(kind, name, options)
        if kind == "namespaces":
            _in_thread(self._end_namespace, name)
        elif kind in ("jobs", "workflows"):
            first = options.get("propagationPolicy", "Background") == "Foreground"
            if not first:
                space.take(kind, name)
            _in_thread(self._end_owner, space, kind, found)
        else:
            space.take(kind, name)
        return found

    def end_pod(self, space: Objects, name: str, seconds: float = GRACE) -> None:
        """Let a pod end; it goes when it has ended and has no finalizer."""
        with space.changed:
            pod = space.objects["pods"].get(name)
            if pod is None or "deletionTimestamp" in pod["metadata"]:
                return
            pod["metadata"] |= {"deletionTimestamp": now(), "deletionGracePeriodSeconds": seconds}
            space.note("pods", "MODIFIED", pod)
        _in_thread(self._let_go, space, pod, seconds)

    def _let_go(self, space: Objects, pod: Object, seconds: float) -> None:
        self.node.end(pod, seconds)
        while pod["metadata"].get("finalizers"):
            time.sleep(0.02)
        space.take("pods", pod["metadata"]["name"])
        self.node.forget(pod)

    def _end_owner(self, space: Objects, kind: str, owner: Object) -> None:
        """The garbage collector: what an object that goes has made goes with it."""
        uid, name = owner["metadata"]["uid"], owner["metadata"]["name"]

        def left() -> list[Object]:
            with space.changed:
                return [
                    each
                    for each in space.objects["pods"].values()
                    for of in each["metadata"].get("ownerReferences", ())
                    if of["uid"] == uid
                ]

        while pods := left():
            for pod in pods:
                # The controller of what is gone counts no more.
                pod["metadata"].pop("finalizers", None)
                self.end_pod(space, pod["metadata"]["name"])
            time.sleep(0.05)
        with space.changed:
            kept = space.objects[kind].get(name)
            if kept is not None and kept["metadata"]["uid"] == uid:
                space.take(kind, name)

    def _end_namespace(self, namespace: str) -> None:
        space = self.spaces[namespace]
        for kind in ("workflows", "jobs"):
            for name in list(space.objects[kind]):
                with suppress(Refused):
                    self._delete(Place("", namespace, kind, name, ""), space, {})
        while space.objects["pods"]:
            for name in list(space.objects["pods"]):
                self.end_pod(space, name, 1)
            time.sleep(0.05)
        space.down = True
        self.spaces.pop(namespace)
        self.spaces[""].take("namespaces", namespace)


def _merge_into(found: Object, patch: Object) -> None:
    """A JSON merge patch."""
    for key, value in patch.items():
        if isinstance(value, dict) and isinstance(found.get(key), dict):
            _merge_into(found[key], value)
        elif value is None:
            found.pop(key, None)
        else:
            found[key] = value


def _in_thread(action: Callable[..., object], *arguments: Any) -> None:
    threading.Thread(target=action, args=arguments, daemon=True).start()


@contextmanager
def toy_cluster(folder: Path, has_argo: bool = False) -> Iterator[ToyCluster]:
    """A cluster at work on a port of this machine."""
    cluster = ToyCluster(folder, has_argo)
    try:
        with serve(cluster) as cluster.url:
            yield cluster
    finally:
        cluster.node.stop()
