"""The cluster profile applied to a KFP task, as far as KFP lets a pipeline say it.

What KFP 2.17 cannot be told: priority classes, the group that owns volumes, a read-only root, and
the service account, which belongs to the run that is submitted. Seccomp and capabilities are set
by its own backend.
"""

from collections.abc import Mapping
from typing import Any

from kfp.dsl.pipeline_task import PipelineTask

from evoptim.errors import InputError
from pipelines.pod import (
    SHARED_MEMORY_PATH,
    TEMPORARY_PATH,
    annotations,
    expression,
    fixed_environment,
    labels,
    queue_labels,
)
from pipelines.profile import ClusterProfile, Mount, Role

_FIRST_WAIT_SECONDS = 30


def apply_profile(
    task: PipelineTask, profile: ClusterProfile, role: Role, timeout_seconds: int | None = None
) -> PipelineTask:
    """Let the pod of this task run as the profile says.

    Args:
        task: A task of one container.
        profile: The cluster profile.
        role: What the pod is for.
        timeout_seconds: In place of the profile's.

    Raises:
        InputError: kfp-kubernetes is not installed.
    """
    kubernetes = _kubernetes()
    pods = profile.pods(role)
    timeout = timeout_seconds or pods.timeout_seconds
    task.set_container_image(profile.image)
    _apply_resources(task, profile, role)
    # set_env_variable does this, after a walk through the stack and all modules for each variable.
    task.container_spec.env = {**(task.container_spec.env or {}), **fixed_environment(profile)}
    # KFP counts this from the first start on: anything shorter would leave out the last tries.
    longest = (pods.retries + 1) * timeout + 3600
    task.set_retry(pods.retries, f"{_FIRST_WAIT_SECONDS}s", 2.0, f"{longest}s")
    kubernetes.set_timeout(task, timeout)
    kubernetes.set_image_pull_policy(task, profile.image_pull_policy)
    if profile.image_pull_secrets:
        kubernetes.set_image_pull_secrets(task, list(profile.image_pull_secrets))
    for key, value in pods.node_selector.items():
        kubernetes.add_node_selector(task, key, value)
    for term in pods.node_affinity:
        expressions = [expression(each) for each in term.expressions]
        kubernetes.add_node_affinity(task, match_expressions=expressions, weight=term.weight)
    for each in pods.tolerations:
        kubernetes.add_toleration(
            task, each.key, each.operator, each.value, each.effect, each.toleration_seconds
        )
    # A training pod waits in the queue; what is short and small would only wait behind it.
    queued = queue_labels(profile) if role == "worker" else {}
    for key, value in {**labels(profile, role), **queued}.items():
        kubernetes.add_pod_label(task, key, value)
    for key, value in annotations(profile, role).items():
        kubernetes.add_pod_annotation(task, key, value)
    security = profile.security
    kubernetes.set_security_context(
        task, security.run_as_user, security.run_as_group, security.run_as_non_root
    )
    _apply_sources(task, profile, kubernetes)
    _apply_volumes(task, profile, role, kubernetes)
    return task


def _kubernetes() -> Any:
    try:
        from kfp import kubernetes
    except ImportError as error:
        raise InputError(
            f"to compile with a cluster profile install kfp-kubernetes ({error}): "
            "pip install 'evoptim[cluster]'"
        ) from None
    return kubernetes


def _apply_resources(task: PipelineTask, profile: ClusterProfile, role: Role) -> None:
    resources = profile.pods(role).resources
    task.set_cpu_request(resources.requests.cpu)
    task.set_cpu_limit(resources.limits.cpu)
    task.set_memory_request(resources.requests.memory)
    task.set_memory_limit(resources.limits.memory)
    if resources.gpu:
        task.set_accelerator_type(resources.gpu_resource)
        task.set_accelerator_limit(resources.gpu)


def _apply_sources(task: PipelineTask, profile: ClusterProfile, kubernetes: Any) -> None:
    for use, sources in (
        (kubernetes.use_secret_as_env, profile.environment.secrets),
        (kubernetes.use_config_map_as_env, profile.environment.config_maps),
    ):
        for source in sources:
            for keys in _by_key(source.variables):
                use(task, source.name, keys, source.optional)


def _by_key(variables: Mapping[str, str]) -> list[dict[str, str]]:
    """Variable by key, as KFP has it; in several parts where a key has several variables."""
    parts: list[dict[str, str]] = []
    for variable, key in variables.items():
        part = next((each for each in parts if key not in each), None)
        if part is None:
            parts.append(part := {})
        part[key] = variable
    return parts


def _apply_volumes(
    task: PipelineTask, profile: ClusterProfile, role: Role, kubernetes: Any
) -> None:
    scratch = profile.scratch
    for name, path, size in (
        ("temporary", TEMPORARY_PATH, scratch.temporary),
        ("cache", scratch.cache_path, scratch.cache),
    ):
        kubernetes.empty_dir_mount(task, name, path, size_limit=size)
    shared = profile.pods(role).shared_memory
    if shared is not None:
        kubernetes.empty_dir_mount(task, "shared-memory", SHARED_MEMORY_PATH, "Memory", shared)
    for mount in profile.mounts:
        _apply_mount(task, mount, kubernetes)


def _apply_mount(task: PipelineTask, mount: Mount, kubernetes: Any) -> None:
    if mount.kind == "claim":
        kubernetes.mount_pvc(task, mount.name, mount.path)
    elif mount.kind == "config_map":
        kubernetes.use_config_map_as_volume(task, mount.name, mount.path)
    else:
        kubernetes.use_secret_as_volume(task, mount.name, mount.path)
