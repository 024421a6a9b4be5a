"""Templates of Argo Workflows that run one container, and when their pods are replaced."""

import json
from collections.abc import Mapping, Sequence

from pipelines.pod import (
    STAGE_LABEL,
    Part,
    annotations,
    container,
    container_security,
    labels,
    pod_settings,
)
from pipelines.profile import ClusterProfile, Role

DISRUPTIONS = 16
"""How many more pods than the profile's retries follow one that is taken from its node."""

EXECUTOR_USER = 65532
"""User of Argo's own containers where the profile names none: theirs is root. It is our image's."""

RUN = "{{workflow.parameters.run}}"
STORE = ("--store", "{{workflow.parameters.store}}", "--run", RUN)
SIZE = ("--candidates-per-task", "{{workflow.parameters.candidates_per_task}}")
PATIENCE = ("--patience", "{{workflow.parameters.patience}}")
GENERATION = ("--generation", "{{inputs.parameters.generation}}")
CHUNK = ("--chunk", "{{inputs.parameters.chunk}}")

FINALS: Mapping[str, str] = {STAGE_LABEL: "finals"}
# The number has three digits, as in the names of stages.
OF_GENERATION: Mapping[str, str] = {STAGE_LABEL: "g{{inputs.parameters.generation}}"}


def pod(
    profile: ClusterProfile,
    role: Role,
    name: str,
    command: Sequence[str],
    *,
    takes: Sequence[str] = (),
    more_labels: Mapping[str, str] | None = None,
    timeout_seconds: int | None = None,
) -> Part:
    """A template of one container.

    Args:
        profile: How the pod runs.
        role: What the pod is for.
        name: Name of the template.
        command: What follows ``evoptim step``.
        takes: Names of its inputs.
        more_labels: Labels of the pod beside those of its role and run.
        timeout_seconds: In place of the profile's.
    """
    metadata: Part = {"labels": {**labels(profile, role, RUN), **(more_labels or {})}}
    if noted := annotations(profile, role):
        metadata["annotations"] = noted
    return {
        "name": name,
        **(inputs(*takes) if takes else {}),
        "metadata": metadata,
        **pod_settings(profile, role, timeout_seconds),
        "retryStrategy": _retries(profile.pods(role).retries),
        "container": container(profile, role, ["step", *command]),
    }


def executor_security(profile: ClusterProfile) -> str:
    """``podSpecPatch`` of a workflow that makes Argo's own containers meet Pod Security too.

    Unless its controller is told otherwise, Argo gives them no security context, and their image
    runs as root: the level ``restricted`` refuses the pod, and ``runAsNonRoot`` keeps it from
    starting.
    """
    security = container_security(profile)
    # One of them writes where the image's root is, in some versions.
    del security["readOnlyRootFilesystem"]
    if profile.security.run_as_non_root and profile.security.run_as_user is None:
        security["runAsUser"] = EXECUTOR_USER
    patch = {
        kind: [{"name": name, "securityContext": security}]
        for kind, name in (("initContainers", "init"), ("containers", "wait"))
    }
    return json.dumps(patch, separators=(", ", ": "))


# Exit codes of what is ended by a signal; and, where there is none, what Kubernetes and Argo say of
# a pod that was preempted, evicted, drained, refused by its node, or whose node is gone.
_TAKEN = (
    "lastRetry.exitCode in ['130', '137', '143'] or (lastRetry.exitCode == '-1' and "
    "lastRetry.message matches 'pod deleted|[Pp]reempt|[Ee]vict|low on resource|node shutdown|"
    "unresponsive|node had condition|Pod was rejected')"
)
# The same exit codes, but the pod's own doing: memory, time or disk.
_OWN_FAULT = "lastRetry.message matches 'OOMKilled|deadline|[Ee]xceed'"


def _retries(retries: int) -> Part:
    """When a pod is replaced, with growing pauses.

    Exit code 2, a mistake in what was given, would come again. A pod that was taken from its node
    is replaced up to :data:`DISRUPTIONS` times more often than one that failed; what ran out of
    memory, time or disk failed.
    """
    return {
        "limit": str(retries + DISRUPTIONS),
        "retryPolicy": "Always",
        "expression": (
            f"lastRetry.exitCode != '2' and (asInt(retries) < {retries} or "
            f"(({_TAKEN}) and not ({_OWN_FAULT})))"
        ),
        "backoff": {"duration": "30s", "factor": "2", "cap": "10m"},
    }


def inputs(*names: str) -> Part:
    """``inputs`` of a template, all of them parameters."""
    return {"inputs": {"parameters": [{"name": name} for name in names]}}


def arguments(**values: str) -> Part:
    """``arguments`` of a step or a task, all of them parameters."""
    return {
        "arguments": {
            "parameters": [{"name": name, "value": value} for name, value in values.items()]
        }
    }
