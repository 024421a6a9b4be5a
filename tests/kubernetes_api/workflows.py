"""The controller of Argo's workflows: :mod:`argo_engine` interprets, and its pods are pods."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

from argo_engine import Attempt, Engine
from manifest_checks.pods import WORKFLOW_LABEL

from kubernetes_api.objects import Objects, now
from kubernetes_api.wire import Object, Refused

_POD_FIELDS = (
    "serviceAccountName",
    "automountServiceAccountToken",
    "priorityClassName",
    "activeDeadlineSeconds",
    "nodeSelector",
    "affinity",
    "tolerations",
    "securityContext",
    "volumes",
)


class _Terminated(Exception):
    """Somebody cancelled the workflow."""


class WorkflowController(Engine):
    """Runs one workflow."""

    def __init__(
        self,
        space: Objects,
        workflow: Object,
        create: Callable[[Object], object],
        end: Callable[[str], object],
        output: Callable[[Object], str],
    ) -> None:
        self.space, self.workflow = space, workflow
        self.create, self.end, self.output = create, end, output
        spec = _whole_spec(space, workflow["spec"])
        super().__init__({"spec": spec}, lambda *_: Attempt())

    def run(self) -> str:
        """Run it to its end."""
        self._tell(phase="Running", startedAt=now(), nodes={})
        try:
            phase, message = super().run(), ""
        except _Terminated:
            phase, message = "Failed", "Stopped with strategy 'Terminate'"
        except Refused as error:
            phase, message = "Error", str(error)
        self._tell(phase=phase, message=message, finishedAt=now())
        return phase

    def attempt(self, template: Object, before: int) -> Attempt:
        """Run one pod of a template."""
        del before
        name = self.workflow["metadata"]["name"]
        number = uuid.uuid4().int % 10**10
        pod = self._pod(template, f"{name}-{template['name']}-{number}")
        node = {
            "id": f"{name}-{number}",
            "name": f"{name}.{template['name']}({number})",
            "displayName": template["name"],
            "type": "Pod",
            "templateName": template["name"],
            "phase": "Running",
            "startedAt": now(),
        }
        if self._is_cancelled():
            raise _Terminated
        self.create(pod)
        self._tell_node(node)
        found = self._wait(pod["metadata"]["name"])
        attempt = _outcome(found, self.output)
        self._tell_node(
            {**node, "phase": attempt.status(), "message": attempt.message, "finishedAt": now()}
        )
        if self._is_cancelled():
            raise _Terminated
        return attempt

    def _wait(self, name: str) -> Object | None:
        """Wait for a pod's end; None if it was deleted."""
        cancelled = False
        while True:
            with self.space.changed:
                pod = self.space.objects["pods"].get(name)
                gone = self.space.objects["workflows"].get(self.workflow["metadata"]["name"])
            if pod is None or gone is not self.workflow:
                return None
            if pod["status"]["phase"] in ("Succeeded", "Failed"):
                return pod
            if self._is_cancelled() and not cancelled:
                cancelled = True
                self.end(name)
            time.sleep(0.05)

    def _pod(self, template: Object, name: str) -> Object:
        metadata, spec = self.workflow["metadata"], template
        owner = {
            "apiVersion": self.workflow["apiVersion"],
            "kind": "Workflow",
            "name": metadata["name"],
            "uid": metadata["uid"],
            "controller": True,
        }
        common = self.spec
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": metadata["namespace"],
                "labels": {
                    **common["podMetadata"]["labels"],
                    **template["metadata"]["labels"],
                    WORKFLOW_LABEL: metadata["name"],
                },
                "annotations": {"workflows.argoproj.io/node-name": name},
                "ownerReferences": [owner],
            },
            "spec": {
                "serviceAccountName": common["serviceAccountName"],
                "securityContext": common["securityContext"],
                **{field: spec[field] for field in _POD_FIELDS if field in spec},
                "restartPolicy": "Never",
                "containers": [{"name": "main", **template["container"]}],
            },
        }

    def _is_cancelled(self) -> bool:
        with self.space.changed:
            return bool(self.workflow["spec"].get("shutdown"))

    def _tell(self, **told: Any) -> None:
        with self.space.changed:
            self.workflow.setdefault("status", {}).update(told)
            self.space.note("workflows", "MODIFIED", self.workflow)

    def _tell_node(self, node: Object) -> None:
        nodes = self.workflow["status"]["nodes"]
        self._tell(nodes={**nodes, node["id"]: node})


def _outcome(pod: Object | None, output: Callable[[Object], str]) -> Attempt:
    if pod is None:
        return Attempt(None, message="pod deleted", phase="Error")
    statuses = pod["status"].get("containerStatuses") or [{"state": {}}]
    ended = statuses[0]["state"].get("terminated")
    if ended is None:
        return Attempt(None, message=pod["status"].get("reason", ""), phase="Failed")
    code = ended["exitCode"]
    told = f"{ended['reason']} (exit code {code})" if code else ""
    return Attempt(code, output(pod), told)


def _whole_spec(space: Objects, spec: Object) -> Object:
    """The specification, with that of the template that it refers to."""
    reference = spec.get("workflowTemplateRef")
    if reference is None:
        return spec
    template: Object = space.read("workflowtemplates", reference["name"])["spec"]
    given = {each["name"]: each for each in spec["arguments"]["parameters"]}
    declared = template["arguments"]["parameters"]
    merged = [{**each, **given.get(each["name"], {})} for each in declared]
    return {**template, "arguments": {"parameters": merged}}
