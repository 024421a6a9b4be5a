"""A cluster of processes: the Kubernetes API as far as tests of real clusters use it, and nodes.

Objects of any kind are kept, validated against Kubernetes' published schema. What a service account
may do is what the Roles that were applied say. Pods run as processes of this machine, with the
variables that their manifest gives them, but see its file system: it shows that tests do what they
mean to, not that a cluster would let them.
"""

from __future__ import annotations

import copy
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import kubernetes_validate
from fake_kubernetes import selected, status_object

Object = dict[str, Any]

ADMIN = "token-of-an-administrator"
KUBERNETES = "1.33"
ROOT = Path(__file__).resolve().parents[1]
# Below this a pod of ours is killed for its memory: torch alone takes more.
ENOUGH_MEMORY = "512Mi"

KINDS = {
    "v1": {
        "Namespace": "namespaces",
        "Node": "nodes",
        "ServiceAccount": "serviceaccounts",
        "ConfigMap": "configmaps",
        "Secret": "secrets",
        "Service": "services",
        "Pod": "pods",
        "Event": "events",
        "ResourceQuota": "resourcequotas",
        "LimitRange": "limitranges",
    },
    "batch/v1": {"Job": "jobs"},
    "rbac.authorization.k8s.io/v1": {"Role": "roles", "RoleBinding": "rolebindings"},
    "networking.k8s.io/v1": {"NetworkPolicy": "networkpolicies"},
    "scheduling.k8s.io/v1": {"PriorityClass": "priorityclasses"},
}
CLUSTER_WIDE = ("Namespace", "Node", "PriorityClass")
_PATH = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/v1(?:/namespaces/(?P<namespace>[^/]+)(?=/))?"
    r"/(?P<kind>[a-z]+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>[a-z]+))?"
)


class Refused(Exception):
    """An answer other than 2xx."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.status = code, status_object(code, reason, message)


class ToyCluster:
    """All objects by their path, and the processes of pods by their name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.changed = threading.Condition(threading.RLock())
        self.version = 100
        self.url = ""
        self.bin = folder / "bin"
        self.bin.mkdir()
        self._program("python", f'exec {sys.executable} "$@"')
        self._program(
            "evoptim", f'exec {sys.executable} -c "from evoptim.cli import main; main()" "$@"'
        )

    def _program(self, name: str, line: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)

    def kubeconfig(self, token: str = ADMIN) -> Path:
        """Write a kubeconfig for the bearer of this token."""
        path = self.folder / f"kubeconfig-{token.replace(':', '-')}"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "toy",
            "clusters": [{"name": "toy", "cluster": {"server": self.url}}],
            "users": [{"name": "user", "user": {"token": token}}],
            "contexts": [{"name": "toy", "context": {"cluster": "toy", "user": "user"}}],
        }
        path.write_text(json.dumps(config))
        return path

    # Rights

    def check_rights(
        self, token: str, verb: str, group: str, kind: str, namespace: str, name: str
    ) -> None:
        if token == ADMIN:
            return
        _, home, account = token.split(":")
        for (found, where, _), binding in list(self.objects.items()):
            ours = {"kind": "ServiceAccount", "name": account, "namespace": home}
            subjects = binding.get("subjects") or ()
            if (found, where) != ("rolebindings", namespace) or ours not in subjects:
                continue
            role = self.objects["roles", namespace, binding["roleRef"]["name"]]
            for rule in role["rules"]:
                named = rule.get("resourceNames")
                if (
                    group in rule["apiGroups"]
                    and kind in rule["resources"]
                    and verb in rule["verbs"]
                    and (not named or name in named)
                ):
                    return
        told = f'{kind} is forbidden: User "{account}" cannot {verb} resource "{kind}"'
        raise Refused(403, "Forbidden", told)

    # Objects

    def note(self, each: Object) -> None:
        with self.changed:
            self.version += 1
            each["metadata"]["resourceVersion"] = str(self.version)
            self.changed.notify_all()

    def create(self, kind: str, namespace: str, each: Object, dry: bool) -> Object:
        name = each.get("metadata", {}).get("name", "")
        if namespace and ("namespaces", "", namespace) not in self.objects:
            raise Refused(404, "NotFound", f'namespaces "{namespace}" not found')
        if (kind, namespace, name) in self.objects:
            raise Refused(409, "AlreadyExists", f'{kind} "{name}" already exists')
        try:
            kubernetes_validate.validate(each, KUBERNETES, strict=True)
        except kubernetes_validate.ValidationError as error:
            raise Refused(422, "Invalid", str(error.message)) from None
        if kind == "pods":
            check_restricted(each)
        if dry:
            return each
        each = copy.deepcopy(each)
        each["metadata"]["uid"] = str(uuid.uuid4())
        if kind == "services":
            each["spec"]["clusterIP"] = "127.0.0.1"
        if kind == "secrets":
            each["data"] = {**each.get("data", {}), **each.pop("stringData", {})}
        if kind in ("pods", "jobs"):
            each["status"] = {"phase": "Pending"} if kind == "pods" else {}
        with self.changed:
            self.objects[kind, namespace, name] = each
            self.note(each)
        if kind == "pods":
            threading.Thread(target=self.run_pod, args=(each,), daemon=True).start()
        if kind == "jobs" and not each["spec"].get("suspend"):
            threading.Thread(target=self.run_job, args=(each,), daemon=True).start()
        return copy.deepcopy(each)

    def read(self, kind: str, namespace: str, name: str) -> Object:
        with self.changed:
            found = self.objects.get((kind, namespace, name))
            if found is None:
                raise Refused(404, "NotFound", f'{kind} "{name}" not found')
            return copy.deepcopy(found)

    def listing(self, kind: str, namespace: str, query: dict[str, str]) -> Object:
        with self.changed:
            found = [
                copy.deepcopy(each)
                for key, each in sorted(self.objects.items())
                if key[:2] == (kind, namespace) and selected(each, query)
            ]
        return {"items": found, "metadata": {"resourceVersion": str(self.version)}}

    def merge(self, kind: str, namespace: str, name: str, patch: Object, dry: bool) -> Object:
        self.read(kind, namespace, name)
        with self.changed:
            found = self.objects[kind, namespace, name]
            if not dry:
                kept = {key: found["metadata"][key] for key in ("uid",)}
                found.update({key: value for key, value in patch.items() if key != "metadata"})
                found["metadata"] |= patch.get("metadata", {}) | kept
                if kind == "secrets":
                    found["data"] |= found.pop("stringData", {})
                self.note(found)
        return found

    def delete(self, kind: str, namespace: str, name: str, options: Object) -> Object:
        found = self.read(kind, namespace, name)
        uid = options.get("preconditions", {}).get("uid")
        if uid not in (None, found["metadata"]["uid"]):
            raise Refused(409, "Conflict", "the UID is another")
        if kind == "pods":
            seconds = options.get("gracePeriodSeconds", 30)
            self._in_thread(self.end_pod, namespace, name, seconds)
        elif kind == "jobs":
            with self.changed:
                self.objects[kind, namespace, name]["metadata"]["deletionTimestamp"] = "now"
                self.note(self.objects[kind, namespace, name])
            self._in_thread(self.end_job, namespace, name)
        else:
            with self.changed:
                self.objects.pop((kind, namespace, name), None)
        return found

    def _in_thread(self, action: Any, *arguments: Any) -> None:
        threading.Thread(target=action, args=arguments, daemon=True).start()

    # Nodes

    def run_pod(self, pod: Object) -> None:
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        (container,) = pod["spec"]["containers"]
        place = self.folder / pod["metadata"]["uid"]
        place.mkdir()
        words = [*container["command"], *container.get("args", [])]
        words = [each.replace("/tmp/store", str(place / "store")) for each in words]
        for volume in pod["spec"].get("volumes") or ():
            if "configMap" in volume:
                data = self.read("configmaps", namespace, volume["configMap"]["name"])["data"]
                for key, text in data.items():
                    (place / key).write_text(text)
                words = [each.replace("/programs/", f"{place}/") for each in words]
        environment = self.environment(pod, container, place)
        memory = container["resources"]["limits"]["memory"]
        log = place / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                words, env=environment, stdout=output, stderr=output, cwd=place
            )
        with self.changed:
            self.processes[name] = process
            pod["status"]["phase"] = "Running"
            pod["status"]["containerStatuses"] = [{"name": "main", "state": {"running": {}}}]
            pod["status"].setdefault("conditions", []).append({"type": "Ready", "status": "True"})
            self.note(pod)
        starved = container["command"] == ["evoptim"] and memory == "64Mi"
        if starved:
            process.kill()
        code = process.wait()
        code = 128 - code if code < 0 else code
        reason = "OOMKilled" if starved else ("Error" if code else "Completed")
        ended = {"exitCode": code, "reason": reason, "message": log.read_text()[-2000:]}
        with self.changed:
            pod["status"]["phase"] = "Failed" if code else "Succeeded"
            pod["status"]["containerStatuses"] = [{"name": "main", "state": {"terminated": ended}}]
            self.note(pod)

    def environment(self, pod: Object, container: Object, place: Path) -> dict[str, str]:
        namespace = pod["metadata"]["namespace"]
        found = {}
        for each in container.get("env") or ():
            source = each.get("valueFrom") or {}
            reference = source.get("secretKeyRef") or source.get("configMapKeyRef")
            if reference is None:
                found[each["name"]] = each.get("value", "")
                continue
            kind = "secrets" if "secretKeyRef" in source else "configmaps"
            holder = self.objects.get((kind, namespace, reference["name"]), {})
            if reference["key"] in holder.get("data", {}):
                found[each["name"]] = holder["data"][reference["key"]]
            else:
                assert reference.get("optional"), f"{pod['metadata']['name']}: no {reference}"
        kept = {
            "EVOPTIM_CACHE_DIR": os.environ.get("EVOPTIM_CACHE_DIR", str(self.folder / "cache"))
        }
        if pod["spec"].get("automountServiceAccountToken"):
            account = pod["spec"]["serviceAccountName"]
            kept["KUBECONFIG"] = str(self.kubeconfig(f"sa:{namespace}:{account}"))
            kept["KUBERNETES_SERVICE_HOST"] = "127.0.0.1"
        path = f"{self.bin}:{os.environ['PATH']}"
        name = pod["metadata"]["name"]
        fixed = {"PATH": path, "PYTHONPATH": str(ROOT), "HOSTNAME": name, "HOME": str(place)}
        return {**found, **kept, **fixed, "TMPDIR": str(place)}

    def end_pod(self, namespace: str, name: str, seconds: float) -> None:
        with self.changed:
            pod = self.objects.get(("pods", namespace, name))
            if pod is None:
                return
            pod["metadata"]["deletionTimestamp"] = "now"
            process = self.processes.get(name)
            self.note(pod)
        if process is not None:
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
            process.kill()
            while pod["status"]["phase"] not in ("Succeeded", "Failed"):
                time.sleep(0.02)
        # The finalizer of Jobs: counted before it goes.
        while "job" in pod and not pod.get("counted"):
            time.sleep(0.02)
        with self.changed:
            self.objects.pop(("pods", namespace, name), None)

    def evict(self, namespace: str, name: str) -> None:
        self.read("pods", namespace, name)
        with self.changed:
            pod = self.objects["pods", namespace, name]
            moved = {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "EvictionByEvictionAPI",
            }
            pod["status"].setdefault("conditions", []).append(moved)
        self._in_thread(self.end_pod, namespace, name, 30)

    # The Job controller

    def run_job(self, job: Object) -> None:
        spec, status = job["spec"], job["status"]
        total = spec["completions"]
        failures: dict[int, int] = {}
        open_indices, done, lost = list(range(total)), 0, set()
        active: dict[int, Object] = {}
        while "deletionTimestamp" not in job["metadata"]:
            for index, pod in list(active.items()):
                if pod["status"]["phase"] not in ("Succeeded", "Failed"):
                    continue
                del active[index]
                conditions = pod["status"].get("conditions") or ()
                moved = any(each["type"] == "DisruptionTarget" for each in conditions)
                if pod["status"]["phase"] == "Succeeded":
                    done += 1
                elif moved:
                    open_indices.insert(0, index)
                else:
                    failures[index] = failures.get(index, 0) + 1
                    if failures[index] > spec["backoffLimitPerIndex"]:
                        lost.add(index)
                    else:
                        open_indices.insert(0, index)
                pod["counted"] = True
            while len(active) < spec["parallelism"] and open_indices:
                index = open_indices.pop(0)
                active[index] = self.pod_of(job, index)
            told = {
                "succeeded": done,
                "active": len(active),
                "failed": sum(failures.values()),
                "failedIndexes": ",".join(map(str, sorted(lost))),
            }
            with self.changed:
                if any(status.get(key) != value for key, value in told.items()):
                    status.update(told)
                    self.note(job)
            if len(lost) > spec["maxFailedIndexes"] or not (active or open_indices):
                break
            time.sleep(0.05)
        else:
            return
        condition = {"type": "Complete", "status": "True"}
        if lost:
            many = len(lost) > spec["maxFailedIndexes"]
            reason = "MaxFailedIndexesExceeded" if many else "FailedIndexes"
            condition = {"type": "Failed", "status": "True", "reason": reason, "message": "lost"}
        with self.changed:
            status["conditions"] = [condition]
            self.note(job)
        for pod in active.values():
            self.end_pod(job["metadata"]["namespace"], pod["metadata"]["name"], 1)

    def pod_of(self, job: Object, index: int) -> Object:
        template = copy.deepcopy(job["spec"]["template"])
        job_name, namespace = job["metadata"]["name"], job["metadata"]["namespace"]
        name = f"{job_name}-{index}-{uuid.uuid4().hex[:5]}"
        metadata = {**template["metadata"], "name": name, "namespace": namespace}
        metadata["labels"] = {
            **metadata["labels"],
            "batch.kubernetes.io/job-name": job_name,
            "batch.kubernetes.io/job-completion-index": str(index),
        }
        (container,) = template["spec"]["containers"]
        container["env"].append({"name": "JOB_COMPLETION_INDEX", "value": str(index)})
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        self.create("pods", namespace, pod, dry=False)
        found = self.objects["pods", namespace, name]
        found["job"] = job_name
        return found

    def end_job(self, namespace: str, name: str) -> None:
        def pods() -> list[str]:
            with self.changed:
                found = list(self.objects.items())
            return [key[2] for key, each in found if each.get("job") == name]

        for pod in pods():
            with self.changed:
                if ("pods", namespace, pod) in self.objects:
                    self.objects["pods", namespace, pod]["counted"] = True
            self.end_pod(namespace, pod, 1)
        with self.changed:
            job = self.objects.pop(("jobs", namespace, name), None)
            if job is not None:
                self.note(job)


def check_restricted(pod: Object) -> None:
    """The Pod Security level restricted, as far as it tells these tests' pods from others."""
    for each in pod["spec"]["containers"]:
        security = each.get("securityContext") or {}
        if security.get("privileged") or security.get("allowPrivilegeEscalation", True):
            told = f'pods "{pod["metadata"]["name"]}" is forbidden: violates PodSecurity'
            raise Refused(403, "Forbidden", told)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body are two writes: Nagle's algorithm would hold the second back for 40 ms.
    disable_nagle_algorithm = True
    cluster: ToyCluster

    def do_GET(self) -> None:
        self.handle_request("GET")

    def do_POST(self) -> None:
        self.handle_request("POST")

    def do_PATCH(self) -> None:
        self.handle_request("PATCH")

    def do_DELETE(self) -> None:
        self.handle_request("DELETE")

    def handle_request(self, method: str) -> None:
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query))
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        try:
            self.answer(method, url.path, query, body)
        except Refused as error:
            self.reply(error.code, error.status)

    def answer(self, method: str, path: str, query: dict[str, str], body: Object) -> None:
        version = path.removeprefix("/apis/").removeprefix("/api/")
        if version in KINDS:
            rows = [
                {"name": name, "kind": kind, "namespaced": kind not in CLUSTER_WIDE}
                for kind, name in KINDS[version].items()
            ]
            self.reply(200, {"resources": rows})
            return
        found = _PATH.fullmatch(path)
        if found is None:
            raise Refused(404, "NotFound", f"no such path {path}")
        group, namespace, kind, name, sub = (part or "" for part in found.groups())
        cluster, dry = self.cluster, query.get("dryRun") == "All"
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        verb = {"POST": "create", "DELETE": "delete", "PATCH": "patch"}.get(
            method, "watch" if "watch" in query else "get" if name else "list"
        )
        what = f"{kind}/{sub}" if sub else kind
        cluster.check_rights(token, verb, group, what, namespace, name)
        if sub == "token":
            self.reply(201, {"status": {"token": f"sa:{namespace}:{name}"}})
        elif sub == "eviction":
            cluster.evict(namespace, name)
            self.reply(201, {"kind": "Status", "status": "Success"})
        elif sub == "log":
            pod = cluster.read("pods", namespace, name)
            log = cluster.folder / pod["metadata"]["uid"] / "log"
            self.send(200, log.read_bytes() if log.exists() else b"", "text/plain")
        elif verb == "create":
            self.reply(201, cluster.create(kind, namespace, body, dry))
        elif verb == "patch":
            self.reply(200, cluster.merge(kind, namespace, name, body, dry))
        elif verb == "delete":
            self.reply(200, cluster.delete(kind, namespace, name, body))
        elif verb == "watch":
            self.stream(kind, namespace, query)
        elif name:
            self.reply(200, cluster.read(kind, namespace, name))
        else:
            self.reply(200, cluster.listing(kind, namespace, query))

    def stream(self, kind: str, namespace: str, query: dict[str, str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        deadline = time.monotonic() + float(query["timeoutSeconds"])
        seen = int(query["resourceVersion"])
        while time.monotonic() < deadline:
            items = self.cluster.listing(kind, namespace, query)["items"]
            for each in items:
                if int(each["metadata"]["resourceVersion"]) > seen:
                    seen = int(each["metadata"]["resourceVersion"])
                    line = json.dumps({"type": "MODIFIED", "object": each}).encode() + b"\n"
                    # Whoever watched may have been killed.
                    with suppress(ConnectionError):
                        self.wfile.write(line)
                        self.wfile.flush()
            if not items:
                break
            time.sleep(0.1)
        self.close_connection = True

    def reply(self, code: int, found: Object) -> None:
        with self.cluster.changed:
            data = json.dumps(found).encode()
        self.send(code, data, "application/json")

    def send(self, code: int, data: bytes, kind: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def toy_cluster(folder: Path) -> Iterator[ToyCluster]:
    """A cluster at work on a port of this machine."""
    cluster = ToyCluster(folder)
    handler = type("Handler", (_Handler,), {"cluster": cluster})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    cluster.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield cluster
    finally:
        for process in cluster.processes.values():
            process.kill()
        server.shutdown()
        server.server_close()
        thread.join()
