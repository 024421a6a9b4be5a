"""Argo Workflows alone: a search as one Workflow of the namespace, through the cluster's API."""

import base64
import gzip
import json
import zlib
from collections.abc import Mapping
from typing import Any

import yaml

from evoptim.errors import InfrastructureError, InputError
from pipelines.argo import as_parameter
from pipelines.job import STORE_LABEL
from pipelines.kubernetes_api import ApiError, Cluster
from pipelines.pod import COMPONENT_LABEL, NAME_LABEL, RUN_LABEL
from pipelines.submit.access import Access
from pipelines.submit.engine import EngineState, Package, Phase, Step
from pipelines.submit.jobs import store_label
from pipelines.submit.record import Submission

Object = dict[str, Any]

GROUP = "argoproj.io"
VERBS = (
    Access(GROUP, "workflows", "create", "submit"),
    Access(GROUP, "workflows", "get", "status"),
    Access(GROUP, "workflows", "patch", "cancel"),
)
"""What submitting and following a run asks of Argo's objects."""

_PHASES: dict[str, Phase] = {
    "": "pending",
    "Pending": "pending",
    "Running": "running",
    "Succeeded": "succeeded",
    "Failed": "failed",
    "Error": "failed",
}
# Nodes that are or were to be a pod; the others only group them.
_POD = "Pod"


class ArgoEngine:
    """The workflow controller of a cluster, by its custom resources."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    @property
    def address(self) -> str:
        """URL of the cluster's API server."""
        return self._cluster.address

    def start(self, package: Package) -> str:
        """See :meth:`pipelines.submit.engine.Engine.start`; returns the workflow's UID."""
        workflow = build_workflow(package)
        namespace = package.profile.namespace
        try:
            made = self._cluster.request("POST", _workflows(namespace), body=workflow)
        except ApiError as error:
            if error.status == 409:
                return self._adopt(package)
            raise _refused(error, namespace) from None
        return str(made["metadata"]["uid"])

    def _adopt(self, package: Package) -> str:
        found = self._read(package.profile.namespace, package.name)
        labels = (found or {}).get("metadata", {}).get("labels") or {}
        expected = {RUN_LABEL: package.run, STORE_LABEL: store_label(package.store)}
        if found is None or any(labels.get(key) != value for key, value in expected.items()):
            raise InfrastructureError(
                f"the workflow {package.name} in the namespace {package.profile.namespace} is in "
                "the way, and not of this run: delete it, then run the same command again"
            )
        return str(found["metadata"]["uid"])

    def state(self, submission: Submission) -> EngineState:
        """See :meth:`pipelines.submit.engine.Engine.state`."""
        found = self._read(submission.profile.namespace, submission.name)
        if found is None or found["metadata"]["uid"] != submission.engine_id:
            return EngineState("gone", f"the workflow {submission.name} was deleted")
        return read_workflow(found)

    def cancel(self, submission: Submission) -> None:
        """See :meth:`pipelines.submit.engine.Engine.cancel`."""
        if self.state(submission).ended:
            return
        path = f"{_workflows(submission.profile.namespace)}/{submission.name}"
        # Terminate, not Stop: a run that is given up needs no report.
        try:
            self._cluster.request("PATCH", path, body={"spec": {"shutdown": "Terminate"}})
        except ApiError as error:
            if error.status != 404:
                raise

    def pods(self, submission: Submission) -> str:
        """See :meth:`pipelines.submit.engine.Engine.pods`."""
        return f"workflows.argoproj.io/workflow={submission.name}"

    def page(self, submission: Submission) -> str | None:
        """See :meth:`pipelines.submit.engine.Engine.page`; Argo's own server may be anywhere."""
        del submission
        return None

    def _read(self, namespace: str, name: str) -> Object | None:
        try:
            return self._cluster.request("GET", f"{_workflows(namespace)}/{name}")
        except ApiError as error:
            if error.status == 404:
                return None
            raise


def build_workflow(package: Package) -> Object:
    """The Workflow that runs a compiled WorkflowTemplate with these arguments.

    The template is written into it, so that nothing else has to be there.

    Raises:
        InputError: the text is no WorkflowTemplate, or lacks one of the parameters.
    """
    documents = [each for each in yaml.safe_load_all(package.text) if isinstance(each, dict)]
    template = next((each for each in documents if each.get("kind") == "WorkflowTemplate"), None)
    if template is None:
        raise InputError("the compiled pipeline holds no WorkflowTemplate: compile it for argo")
    metadata = template["metadata"]
    labels = {
        **(metadata.get("labels") or {}),
        NAME_LABEL: "evoptim",
        COMPONENT_LABEL: "search",
        RUN_LABEL: package.run,
        STORE_LABEL: store_label(package.store),
    }
    annotations = {"annotations": noted} if (noted := metadata.get("annotations")) else {}
    spec = dict(template["spec"])
    spec["arguments"] = _arguments(spec.get("arguments") or {}, package.arguments)
    return {
        "apiVersion": template["apiVersion"],
        "kind": "Workflow",
        "metadata": {
            "name": package.name,
            "namespace": package.profile.namespace,
            "labels": labels,
            **annotations,
        },
        "spec": spec,
    }


def _arguments(declared: Mapping[str, Any], values: Mapping[str, Any]) -> Object:
    parameters = list(declared.get("parameters") or ())
    names = {each["name"] for each in parameters}
    # A template that fixes a parameter need not be told.
    given = [
        {**each, "value": as_parameter(str(values[each["name"]]))}
        if each["name"] in values
        else each
        for each in parameters
    ]
    for each in given:
        if "value" not in each:
            raise InputError(
                f"the WorkflowTemplate has a parameter {each['name']!r} without a value: it was "
                "compiled by another version of evoptim; compile it again"
            )
    for name in ("store", "run", "config"):
        if name not in names:
            raise InputError(
                f"the WorkflowTemplate has no parameter {name!r}: compile it with this evoptim"
            )
    return {**declared, "parameters": given}


def read_workflow(workflow: Object) -> EngineState:
    """Where a workflow is, by its own words."""
    status, spec = workflow.get("status") or {}, workflow["spec"]
    phase = _PHASES.get(status.get("phase") or "", "running")
    message = status.get("message") or ""
    shutdown = spec.get("shutdown")
    if shutdown and phase == "failed":
        phase = "cancelled"
    elif shutdown and phase in ("pending", "running"):
        phase = "cancelling"
    elif spec.get("suspend") and phase == "running":
        phase, message = "suspended", message or "somebody suspended the workflow"
    if phase == "pending" and not message:
        message = _lock(status) or "the workflow controller has not started it yet"
    return EngineState(phase, message, _steps(status))


def _lock(status: Object) -> str | None:
    """What a workflow waits for that may run only one at a time."""
    waiting = ((status.get("synchronization") or {}).get("mutex") or {}).get("waiting") or ()
    holders = [each["holder"] for each in waiting if each.get("holder")]
    return f"waits for the workflow {holders[0]}" if holders else None


def _steps(status: Object) -> tuple[Step, ...]:
    nodes = _nodes(status)
    shown = sorted(
        (each for each in nodes.values() if each.get("type") == _POD or _says_why(each)),
        key=lambda each: (each.get("finishedAt") or "9", each.get("startedAt") or "9"),
    )
    return tuple(
        Step(
            name=each.get("displayName") or each["name"],
            phase=_PHASES.get(each.get("phase") or "", "running"),
            message=each.get("message") or "",
            pod=_pod_name(each) if each.get("type") == _POD else None,
        )
        for each in shown
    )


def _says_why(node: Object) -> bool:
    """Whether something that is no pod failed by itself: a template that cannot be resolved."""
    failed = node.get("phase") in ("Failed", "Error")
    return failed and bool(node.get("message")) and not node.get("children")


def _pod_name(node: Object) -> str:
    """The pod's name as Argo 3.4 and newer make it: ``<workflow>-<template>-<hash>``."""
    identity: str = node["id"]
    template = node.get("templateName") or (node.get("templateRef") or {}).get("template")
    start, dash, number = identity.rpartition("-")
    if not template or not dash or node.get("name") == identity:
        return identity
    return f"{start}-{template}-{number}"


def _nodes(status: Object) -> dict[str, Object]:
    """The nodes of a workflow; none where Argo keeps them in a database of its own."""
    packed = status.get("compressedNodes")
    if not packed:
        return status.get("nodes") or {}
    try:
        nodes: dict[str, Object] = json.loads(gzip.decompress(base64.b64decode(packed)))
    except (ValueError, OSError, EOFError, zlib.error):
        return {}
    return nodes


def _workflows(namespace: str) -> str:
    return f"/apis/{GROUP}/v1alpha1/namespaces/{namespace}/workflows"


def _refused(error: ApiError, namespace: str) -> Exception:
    if error.status == 404 and f'namespaces "{namespace}" not found' in str(error):
        return InputError(
            f"the cluster has no namespace {namespace!r} ({error}): apply the manifests, or "
            "correct the profile's namespace"
        )
    if error.status == 404:
        return InputError(
            f"the cluster has no Argo Workflows ({error}): install it, or submit with --target kfp"
        )
    if error.status in (400, 422):
        return InputError(f"Argo refuses the workflow ({error}): correct the profile")
    return error
