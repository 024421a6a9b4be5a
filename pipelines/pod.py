"""From the cluster profile to the parts of a pod: plain dictionaries in Kubernetes' own words.

The parts are those that a Job's pod template and a template of Argo Workflows have in common.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from evoptim.cache import CACHE_VARIABLE
from evoptim.store import Stage
from pipelines.profile import ClusterProfile, KeySource, Mount, NodeExpression, NodeTerm, Role
from pipelines.threads import ONE_THREAD

COMMAND = "evoptim"
"""The program of every container: the entry point of the image."""
CONTAINER = "main"
"""The name of the container that does the work."""

RUN_LABEL = "evoptim.dev/run"
STAGE_LABEL = "evoptim.dev/stage"
COMPONENT_LABEL = "app.kubernetes.io/component"
NAME_LABEL = "app.kubernetes.io/name"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
QUEUE_PRIORITY_LABEL = "kueue.x-k8s.io/priority-class"

TEMPORARY_PATH = "/tmp"
SHARED_MEMORY_PATH = "/dev/shm"

Part = dict[str, Any]


def stage_name(stage: Stage) -> str:
    """A stage in a label or a name: ``finals``, or ``g003`` for generation 3."""
    return "finals" if stage.number is None else f"g{stage.number:03d}"


def labels(
    profile: ClusterProfile, role: Role, run: str | None = None, stage: Stage | None = None
) -> dict[str, str]:
    """Labels of a pod; evoptim's own cannot be changed by the profile."""
    return {
        **profile.labels,
        **profile.pods(role).labels,
        NAME_LABEL: "evoptim",
        COMPONENT_LABEL: role,
        **({} if run is None else {RUN_LABEL: run}),
        **({} if stage is None else {STAGE_LABEL: stage_name(stage)}),
    }


def annotations(profile: ClusterProfile, role: Role) -> dict[str, str]:
    """Annotations of a pod."""
    return {**profile.annotations, **profile.pods(role).annotations}


def queue_labels(profile: ClusterProfile) -> dict[str, str]:
    """Labels by which Kueue takes a Job, or a pod that no Job owns, into its queue."""
    queue = profile.queue
    if queue is None:
        return {}
    priority = {} if queue.priority_class is None else {QUEUE_PRIORITY_LABEL: queue.priority_class}
    return {QUEUE_LABEL: queue.name, **priority}


def fixed_environment(profile: ClusterProfile) -> dict[str, str]:
    """Variables with known values: evoptim's own, changed by the profile's literals."""
    return {
        **ONE_THREAD,
        # A user without an entry in /etc/passwd, on a read-only root, has no home otherwise.
        "HOME": TEMPORARY_PATH,
        "TMPDIR": TEMPORARY_PATH,
        "MPLCONFIGDIR": f"{TEMPORARY_PATH}/matplotlib",
        "TORCHINDUCTOR_CACHE_DIR": f"{TEMPORARY_PATH}/torchinductor",
        "PYTHONUNBUFFERED": "1",
        CACHE_VARIABLE: profile.scratch.cache_path,
        **profile.environment.literals,
    }


def environment(profile: ClusterProfile) -> list[Part]:
    """``env`` of a container."""
    literals = [{"name": name, "value": text} for name, text in fixed_environment(profile).items()]
    return [
        *literals,
        *_referred("secretKeyRef", profile.environment.secrets),
        *_referred("configMapKeyRef", profile.environment.config_maps),
    ]


def _referred(kind: str, sources: Sequence[KeySource]) -> list[Part]:
    return [
        {
            "name": variable,
            "valueFrom": {kind: {"name": each.name, "key": key, "optional": each.optional}},
        }
        for each in sources
        for variable, key in each.variables.items()
    ]


def resources(profile: ClusterProfile, role: Role) -> Part:
    """``resources`` of a container."""
    of = profile.pods(role).resources
    gpus = {of.gpu_resource: str(of.gpu)} if of.gpu else {}
    return {
        "requests": {"cpu": of.requests.cpu, "memory": of.requests.memory, **gpus},
        "limits": {"cpu": of.limits.cpu, "memory": of.limits.memory, **gpus},
    }


def volumes(profile: ClusterProfile, role: Role) -> list[Part]:
    """``volumes`` of a pod."""
    shared = profile.pods(role).shared_memory
    memory = {"medium": "Memory", "sizeLimit": shared}
    return [
        {"name": "temporary", "emptyDir": {"sizeLimit": profile.scratch.temporary}},
        {"name": "cache", "emptyDir": {"sizeLimit": profile.scratch.cache}},
        *([] if shared is None else [{"name": "shared-memory", "emptyDir": memory}]),
        *(
            {"name": f"mount-{place}", **_volume(mount)}
            for place, mount in enumerate(profile.mounts)
        ),
    ]


def _volume(mount: Mount) -> Part:
    if mount.kind == "claim":
        claim = {"claimName": mount.name, "readOnly": mount.read_only}
        return {"persistentVolumeClaim": claim}
    if mount.kind == "config_map":
        return {"configMap": {"name": mount.name}}
    return {"secret": {"secretName": mount.name}}


def volume_mounts(profile: ClusterProfile, role: Role) -> list[Part]:
    """``volumeMounts`` of a container."""
    has_shared = profile.pods(role).shared_memory is not None
    return [
        {"name": "temporary", "mountPath": TEMPORARY_PATH},
        {"name": "cache", "mountPath": profile.scratch.cache_path},
        *([{"name": "shared-memory", "mountPath": SHARED_MEMORY_PATH}] if has_shared else []),
        *(
            {
                "name": f"mount-{place}",
                "mountPath": mount.path,
                "readOnly": mount.read_only or mount.kind != "claim",
            }
            for place, mount in enumerate(profile.mounts)
        ),
    ]


def container(profile: ClusterProfile, role: Role, arguments: Sequence[str]) -> Part:
    """The container that runs ``evoptim`` with these arguments."""
    return {
        "name": CONTAINER,
        "image": profile.image,
        "imagePullPolicy": profile.image_pull_policy,
        "command": [COMMAND],
        "args": list(arguments),
        "env": environment(profile),
        "resources": resources(profile, role),
        "securityContext": container_security(profile),
        "volumeMounts": volume_mounts(profile, role),
        # What a program printed last is what a user wants to know of its failure.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def container_security(profile: ClusterProfile) -> Part:
    """``securityContext`` of a container."""
    security = profile.security
    return {
        "allowPrivilegeEscalation": security.allow_privilege_escalation,
        "readOnlyRootFilesystem": security.read_only_root,
        "capabilities": {"drop": list(security.drop_capabilities)},
    }


def pod_security(profile: ClusterProfile) -> Part:
    """``securityContext`` of a pod."""
    security = profile.security
    seccomp = None if security.seccomp is None else {"type": security.seccomp}
    return _given(
        {
            "runAsNonRoot": security.run_as_non_root,
            "runAsUser": security.run_as_user,
            "runAsGroup": security.run_as_group,
            "fsGroup": security.fs_group,
            "seccompProfile": seccomp,
        }
    )


def tolerations(profile: ClusterProfile, role: Role) -> list[Part]:
    """``tolerations`` of a pod."""
    return [
        _given(
            {
                "key": each.key,
                "operator": each.operator,
                "value": each.value,
                "effect": each.effect,
                "tolerationSeconds": each.toleration_seconds,
            }
        )
        for each in profile.pods(role).tolerations
    ]


def affinity(profile: ClusterProfile, role: Role) -> Part:
    """``affinity`` of a pod; empty where the profile asks for none."""
    terms = profile.pods(role).node_affinity
    required = [{"matchExpressions": _expressions(term)} for term in terms if term.weight is None]
    preferred = [
        {"weight": term.weight, "preference": {"matchExpressions": _expressions(term)}}
        for term in terms
        if term.weight is not None
    ]
    node: Part = {}
    if required:
        node["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": required}
    if preferred:
        node["preferredDuringSchedulingIgnoredDuringExecution"] = preferred
    return {"nodeAffinity": node} if node else {}


def _expressions(term: NodeTerm) -> list[Part]:
    return [expression(each) for each in term.expressions]


def expression(each: NodeExpression) -> Part:
    """A condition on a node's labels, as Kubernetes and KFP write it."""
    return {
        "key": each.key,
        "operator": each.operator,
        **({"values": list(each.values)} if each.values else {}),
    }


def pod_settings(profile: ClusterProfile, role: Role, timeout_seconds: int | None = None) -> Part:
    """Where and as whom a pod runs: fields that ``PodSpec`` and Argo's ``Template`` share.

    Args:
        profile: The cluster profile.
        role: What the pod is for.
        timeout_seconds: In place of the profile's: the step that watches a Job needs
            :meth:`~pipelines.profile.ClusterProfile.watch_timeout_seconds`.
    """
    pods = profile.pods(role)
    return _given(
        {
            "serviceAccountName": pods.service_account,
            # Only the steps talk to the API.
            "automountServiceAccountToken": role == "search",
            "priorityClassName": pods.priority_class,
            "activeDeadlineSeconds": timeout_seconds or pods.timeout_seconds,
            "nodeSelector": dict(pods.node_selector) or None,
            "affinity": affinity(profile, role) or None,
            "tolerations": tolerations(profile, role) or None,
            "securityContext": pod_security(profile),
            "volumes": volumes(profile, role),
        }
    )


def image_pull_secrets(profile: ClusterProfile) -> list[Part]:
    """``imagePullSecrets`` of a pod, or of an Argo workflow."""
    return [{"name": name} for name in profile.image_pull_secrets]


def pod_template(
    profile: ClusterProfile,
    role: Role,
    arguments: Sequence[str],
    run: str | None = None,
    stage: Stage | None = None,
    timeout_seconds: int | None = None,
) -> Part:
    """``PodTemplateSpec``: a pod that runs ``evoptim`` with these arguments, once.

    Args:
        profile: The cluster profile.
        role: What the pod is for.
        arguments: What follows ``evoptim``.
        run: The run that it belongs to.
        stage: The stage that it belongs to.
        timeout_seconds: In place of the profile's.
    """
    metadata: Part = {"labels": labels(profile, role, run, stage)}
    if noted := annotations(profile, role):
        metadata["annotations"] = noted
    spec = {
        **pod_settings(profile, role, timeout_seconds),
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        "containers": [container(profile, role, arguments)],
    }
    if secrets := image_pull_secrets(profile):
        spec["imagePullSecrets"] = secrets
    return {"metadata": metadata, "spec": spec}


def _given(part: Mapping[str, Any]) -> Part:
    """The part without what is not set."""
    return {name: value for name, value in part.items() if value is not None}
