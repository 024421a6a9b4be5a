"""The pods that manifests are about: those they contain and those that searches bring."""

from __future__ import annotations

from dataclasses import dataclass

from evoptim.store import Stage
from manifest_checks.rendering import Object, name_of, of_kind
from pipelines.pod import pod_template, queue_labels
from pipelines.profile import ClusterProfile

WORKFLOW_LABEL = "workflows.argoproj.io/workflow"
"""Argo gives it to every pod of a workflow, and so does KFP, which runs on Argo."""


@dataclass(frozen=True)
class Pod:
    """A pod, or the template of one."""

    origin: str
    labels: dict[str, str]
    spec: Object


def workloads(things: list[Object]) -> list[Pod]:
    """The pods of the manifests themselves."""
    return [
        Pod(name_of(each), each["spec"]["template"]["metadata"]["labels"], spec)
        for each in of_kind(things, "Deployment", "StatefulSet", "DaemonSet", "Job")
        for spec in [each["spec"]["template"]["spec"]]
    ]


def step(profile: ClusterProfile) -> Pod:
    """A pod of a step."""
    made = pod_template(profile, "search", ["step", "select"], "first", Stage.generation(3))
    return Pod("a step", made["metadata"]["labels"], made["spec"])


def worker(profile: ClusterProfile) -> Pod:
    """A training pod of an Indexed Job, with what Kueue reads on its Job."""
    made = pod_template(profile, "worker", ["step", "evaluate"], "first", Stage.generation(3))
    return Pod(
        "a training pod", {**made["metadata"]["labels"], **queue_labels(profile)}, made["spec"]
    )


def in_workflow(pod: Pod) -> Pod:
    """The same pod where a workflow engine makes it."""
    return Pod(f"{pod.origin} of a workflow", {**pod.labels, WORKFLOW_LABEL: "w"}, pod.spec)


def driver() -> Pod:
    """A driver of KFP, which has none of our labels."""
    return Pod("a driver of KFP", {WORKFLOW_LABEL: "w"}, {"containers": []})


def of_search(profile: ClusterProfile) -> list[Pod]:
    """Every kind of pod that a search brings."""
    own = [step(profile), worker(profile)]
    return [*own, *map(in_workflow, own), driver()]
