"""A node on which containers are processes of this machine.

A process has the variables, the signals and the end that its pod's manifest gives it, may go where
the network policies let it, and is run only from an image that is there; but it sees the file
system of this machine.
"""

from __future__ import annotations

import copy
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from manifest_checks.network import may_be_reached, may_reach_address, may_reach_pod
from manifest_checks.pods import WORKFLOW_LABEL, Pod

from kubernetes_api import prefork
from kubernetes_api.objects import Objects, now
from kubernetes_api.wire import Object

ROOT = Path(__file__).resolve().parents[2]
IMAGE = "evoptim:dev"
"""The only image that the node has."""
# Below this a pod that imports torch is killed for its memory.
ENOUGH_MEMORY = 256
API_SERVER = "10.96.0.1"
NOWHERE = "http://127.0.0.1:9"

Kubeconfig = Callable[[str, str], Path]
"""Writes a kubeconfig for an account of a namespace."""


class Node:
    """Runs every pod that it is given."""

    def __init__(self, folder: Path, kubeconfig: Kubeconfig) -> None:
        self.folder = folder
        self.kubeconfig = kubeconfig
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.readers: dict[str, threading.Thread] = {}
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.socket = folder / "s"
        self._program("python", f'exec {sys.executable} "$@"')
        self._program("evoptim", f'exec {sys.executable} -SE {prefork.__file__} {self.socket} "$@"')
        with (folder / "prefork.log").open("wb") as log:
            self.server = subprocess.Popen(
                [sys.executable, prefork.__file__, str(self.socket)],
                env={**_plain_environment(), "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _program(self, name: str, line: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)

    def stop(self) -> None:
        """End everything."""
        for process in [*self.processes.values(), self.server]:
            _kill(process)
            process.wait()

    def run(self, space: Objects, pod: Object) -> None:
        """Be a pod's kubelet from its creation to its end."""
        (container,) = pod["spec"]["containers"]
        uid = pod["metadata"]["uid"]
        place = self.folder / uid
        place.mkdir()
        self._tell(space, pod, conditions=[condition("PodScheduled")], startTime=now())
        environment = self._start_when_possible(space, pod, container, place)
        if environment is None:
            self._tell(space, pod, phase="Failed")
            return
        while not self.socket.exists():
            time.sleep(0.05)
        process = self._process(space, pod, container, place, environment)
        self.processes[uid] = process
        running = {"startedAt": now()}
        ready = [*pod["status"]["conditions"], condition("Ready")]
        self._tell(space, pod, phase="Running", conditions=ready, state={"running": running})
        starved = container["command"] == ["evoptim"] and _mebibytes(container) < ENOUGH_MEMORY
        if starved:
            _kill(process)
        late = self._wait(process, pod)
        if uid in self.readers:
            # What it printed last is its result.
            self.readers.pop(uid).join(10.0)
        code = process.returncode
        code = 128 - code if code < 0 else code
        reason = "OOMKilled" if starved else ("Error" if code else "Completed")
        ended: Object = {"exitCode": code, "reason": reason, **running, "finishedAt": now()}
        if code and container.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            ended["message"] = (place / "log").read_text(errors="replace")[-2048:]
        more = {"reason": "DeadlineExceeded"} if late else {}
        phase = "Failed" if code or late else "Succeeded"
        self._tell(space, pod, phase=phase, state={"terminated": ended}, **more)

    def _start_when_possible(
        self, space: Objects, pod: Object, container: Object, place: Path
    ) -> dict[str, str] | None:
        """The variables of a container that can start; None if its pod is to go before."""
        while "deletionTimestamp" not in pod["metadata"]:
            waits = "ContainerCreating"
            pulls = container.get("imagePullPolicy") or (
                "IfNotPresent" if _has_tag(container["image"]) else "Always"
            )
            if container["image"] != IMAGE or pulls == "Always":
                waits = "ErrImagePull"
            else:
                try:
                    return self._environment(space, pod, container, place)
                except LookupError:
                    waits = "CreateContainerConfigError"
            self._tell(space, pod, state={"waiting": {"reason": waits}})
            time.sleep(0.2)
        return None

    def _process(
        self,
        space: Objects,
        pod: Object,
        container: Object,
        place: Path,
        environment: dict[str, str],
    ) -> subprocess.Popen[bytes]:
        words = [*container["command"], *container.get("args", [])]
        words = [each.replace("/tmp/", f"{place}/") for each in words]
        for volume in pod["spec"].get("volumes") or ():
            if "configMap" in volume:
                data = space.read("configmaps", volume["configMap"]["name"])["data"]
                for key, text in data.items():
                    (place / key).write_text(text)
                words = [each.replace("/programs/", f"{place}/") for each in words]
        with (place / "log").open("wb") as log:
            alone = WORKFLOW_LABEL in pod["metadata"]["labels"]
            process = subprocess.Popen(
                words,
                env=environment,
                stdout=subprocess.PIPE if alone else log,
                stderr=log,
                cwd=place,
                start_new_session=True,
            )
        if alone:
            reader = self.readers[pod["metadata"]["uid"]] = threading.Thread(
                target=_split, args=(process, place), daemon=True
            )
            reader.start()
        return process

    def _wait(self, process: subprocess.Popen[bytes], pod: Object) -> bool:
        """Wait for the end of a process; returns whether it was late."""
        try:
            process.wait(pod["spec"].get("activeDeadlineSeconds"))
        except subprocess.TimeoutExpired:
            _kill(process)
            process.wait()
            return True
        return False

    def end(self, pod: Object, seconds: float) -> None:
        """Send a pod's process the signals that end it, and wait for its end."""
        deadline = time.monotonic() + seconds
        told = False
        while pod["status"]["phase"] not in ("Succeeded", "Failed"):
            process = self.processes.get(pod["metadata"]["uid"])
            if process is not None and time.monotonic() >= deadline:
                _kill(process)
            # The first process of a container gets no signal that it does not wait for.
            elif process and not told and prefork.catches(process.pid, signal.SIGTERM):
                process.send_signal(signal.SIGTERM)
                told = True
            time.sleep(0.02)

    def log(self, pod: Object) -> str | None:
        """What a pod has printed; None before it starts."""
        path = self.folder / pod["metadata"]["uid"] / "log"
        return path.read_text(errors="replace") if path.exists() else None

    def output(self, pod: Object) -> str:
        """What a pod of a workflow printed on its standard output."""
        path = self.folder / pod["metadata"]["uid"] / "output"
        return path.read_text(errors="replace") if path.exists() else ""

    def forget(self, pod: Object) -> None:
        """Remove what a pod left on the disk."""
        shutil.rmtree(self.folder / pod["metadata"]["uid"], ignore_errors=True)

    def _environment(
        self, space: Objects, pod: Object, container: Object, place: Path
    ) -> dict[str, str]:
        """The variables of a container; raises ``LookupError`` where one refers to nothing."""
        namespace, spec = pod["metadata"]["namespace"], pod["spec"]
        found = {}
        for each in container.get("env") or ():
            source = each.get("valueFrom") or {}
            reference = source.get("secretKeyRef") or source.get("configMapKeyRef")
            if reference is None:
                found[each["name"]] = each.get("value", "")
                continue
            kind = "secrets" if "secretKeyRef" in source else "configmaps"
            data = space.objects[kind].get(reference["name"], {}).get("data", {})
            if reference["key"] in data:
                found[each["name"]] = data[reference["key"]]
            elif not reference.get("optional"):
                raise LookupError(reference)
        things = list(space.objects["networkpolicies"].values())
        who = Pod(pod["metadata"]["name"], pod["metadata"]["labels"], spec)
        endpoint = found.get("AWS_ENDPOINT_URL")
        if endpoint and not _reaches(space, things, who, endpoint):
            found["AWS_ENDPOINT_URL"] = NOWHERE
        kept = {"EVOPTIM_CACHE_DIR": str(self.folder / "cache")}
        if spec.get("automountServiceAccountToken"):
            kept["KUBERNETES_SERVICE_HOST"] = API_SERVER
            if may_reach_address(things, who, API_SERVER, 443):
                kept["KUBECONFIG"] = str(self.kubeconfig(namespace, spec["serviceAccountName"]))
        hostname = spec.get("hostname", pod["metadata"]["name"])
        fixed = {"HOSTNAME": hostname, "HOME": str(place), "TMPDIR": str(place)}
        plain = {**_plain_environment(), "PATH": f"{self.bin}:{os.environ['PATH']}"}
        return {**plain, **found, **kept, **fixed, "PYTHONPATH": str(ROOT)}

    def _tell(self, space: Objects, pod: Object, state: Object | None = None, **told: Any) -> None:
        """Write a pod's status."""
        with space.changed:
            status, before = pod["status"], copy.deepcopy(pod["status"])
            if state is not None:
                (container,) = pod["spec"]["containers"]
                status["containerStatuses"] = [{"name": container["name"], "state": state}]
            if "conditions" in told:
                # The API server may have added one in between.
                new = {each["type"] for each in told["conditions"]}
                others = [each for each in status.get("conditions", ()) if each["type"] not in new]
                told["conditions"] = [*told["conditions"], *others]
            status.update(told)
            if status != before:
                space.note("pods", "MODIFIED", pod)


def condition(kind: str, reason: str = "", message: str = "") -> Object:
    """A condition that holds."""
    told = {"reason": reason, "message": message} if reason else {}
    return {"type": kind, "status": "True", "lastTransitionTime": now(), **told}


def _reaches(space: Objects, things: list[Object], who: Pod, endpoint: str) -> bool:
    url = urlsplit(endpoint)
    port = url.port or 443
    for service in space.objects["services"].values():
        ports = [each["port"] for each in service["spec"]["ports"]]
        if (service["spec"]["clusterIP"], port in ports) == (url.hostname, True):
            labels = service["spec"]["selector"]
            there = Pod("", labels, {})
            out = may_reach_pod(things, who, labels, port)
            return out and may_be_reached(things, there, who.labels, port)
    return may_reach_address(things, who, str(url.hostname), port)


def _plain_environment() -> dict[str, str]:
    """No setting of whoever runs the tests reaches a container."""
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and those that it started: with its first process goes a container."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _split(process: subprocess.Popen[bytes], place: Path) -> None:
    assert process.stdout is not None
    with (
        process.stdout as lines,
        (place / "log").open("ab") as log,
        (place / "output").open("wb") as output,
    ):
        for line in lines:
            for file in (output, log):
                file.write(line)
                file.flush()


def _has_tag(image: str) -> bool:
    name, _, tag = image.rpartition("/")[2].partition(":")
    return bool(name) and tag not in ("", "latest")


def _mebibytes(container: Object) -> float:
    text = container["resources"]["limits"]["memory"]
    return float(text[:-2]) * {"Mi": 1, "Gi": 1024}[text[-2:]]
