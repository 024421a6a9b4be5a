"""From YAML to a checked cluster profile, and the commented YAML to start from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from evoptim.config.reading import change, describe, load_settings, merge
from evoptim.config.yaml_text import read_text
from evoptim.errors import InputError
from pipelines.profile import ClusterProfile


def read_profile(
    text: str | None = None, settings: Mapping[str, Any] | None = None
) -> ClusterProfile:
    """The default profile, changed by a YAML text, changed by single settings.

    Args:
        text: YAML. Mappings are merged into the default's; lists take the place of the default's.
        settings: Values by dotted path, such as ``{"workers.resources.gpu": 1}``.

    Raises:
        InputError: with the path, the value and the remedy.
    """
    values = ClusterProfile().settings()
    if text is not None:
        merge(values, load_settings(text, "profile"))
    for path, value in (settings or {}).items():
        change(values, path, value, "profile")
    return _validated(values)


def read_profile_file(path: Path, settings: Mapping[str, Any] | None = None) -> ClusterProfile:
    """The profile in a YAML file, changed by single settings; raises as :func:`read_profile`."""
    return read_profile(read_text(path, "the profile"), settings)


def profile_from_json(text: str) -> ClusterProfile:
    """A whole profile from the JSON that pods are given.

    Raises:
        InputError: it is none.
    """
    try:
        return ClusterProfile.model_validate_json(text)
    except ValidationError as error:
        raise InputError(describe(error, ClusterProfile, "profile")) from None


def default_profile_text() -> str:
    """The default profile as YAML, every setting explained."""
    return _DEFAULT


def _validated(values: dict[str, Any]) -> ClusterProfile:
    try:
        text = json.dumps(values, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"profile: it holds a value that JSON does not know: {error}") from None
    return profile_from_json(text)


_DEFAULT = """\
# How a search runs on one cluster; it changes no result. What is left out keeps the value here.
namespace: evoptim
image: evoptim:dev                # name it by digest, and every pod runs the same bytes
image_pull_policy: IfNotPresent   # Always, IfNotPresent, Never
image_pull_secrets: []            # [registry-credentials]

candidates_per_task: 1            # candidates that one pod trains
parallelism: 8                    # training pods at a time
fan_out: auto                     # loop: the engine's own; job: one Indexed Job a stage, for
                                  # thousands of candidates; auto: loop where it fits easily
max_failed_fraction: 0.1          # share of a stage's tasks that may fail for good before the rest
                                  # is stopped; the run's max_missing_fraction judges afterwards
stage_timeout_seconds: 604800     # 7 days for a stage's Job
job_ttl_seconds: 86400            # finished Jobs and their logs stay a day
workflow_ttl_seconds: 604800      # finished Argo workflows stay 7 days

workers:                          # the pods that train
  service_account: evoptim-worker # has no access to the API
  priority_class: evoptim-worker  # an existing PriorityClass, or null
  resources:
    requests: {cpu: 1, memory: 2Gi}
    limits: {cpu: 1, memory: 2Gi} # more cores help only with candidates_per_task above 1
    gpu: 0                        # GPUs of one pod
    gpu_resource: nvidia.com/gpu
  node_selector: {}               # {nvidia.com/gpu.product: NVIDIA-L4}
  node_affinity: []               # - {expressions: [{key: zone, operator: In, values: [a, b]}]}
                                  # weight: 1 to 100 makes it a preference
  tolerations: []                 # - {key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}
  shared_memory: 256Mi            # /dev/shm; part of the pod's memory
  timeout_seconds: 21600          # a pod that hangs is ended, then retried
  retries: 2                      # preempted, evicted and drained pods do not count
  labels: {}
  annotations: {}

steps:                            # all other steps: small, and none of them needs a GPU
  service_account: evoptim-search # creates and watches Jobs, reads pods and events
  priority_class: evoptim-search
  resources:
    requests: {cpu: 250m, memory: 1Gi}
    limits: {cpu: 8, memory: 4Gi} # proposing thousands takes what cores are idle, 0.3 GB on each
    gpu: 0
    gpu_resource: nvidia.com/gpu
  node_selector: {}
  node_affinity: []
  tolerations: []
  shared_memory: null
  timeout_seconds: 7200
  retries: 3
  labels: {}
  annotations: {}

environment:                      # of every pod
  secrets:                        # variable: key of the Secret
    - name: evoptim-s3
      variables:
        AWS_ACCESS_KEY_ID: AWS_ACCESS_KEY_ID
        AWS_SECRET_ACCESS_KEY: AWS_SECRET_ACCESS_KEY
      optional: false
    - name: evoptim-s3
      variables: {AWS_SESSION_TOKEN: AWS_SESSION_TOKEN}
      optional: true
  config_maps:
    - name: evoptim-store
      variables:
        EVOPTIM_STORE: EVOPTIM_STORE
        AWS_ENDPOINT_URL: AWS_ENDPOINT_URL
        AWS_REGION: AWS_REGION
        AWS_DEFAULT_REGION: AWS_DEFAULT_REGION
      optional: true
  literals: {}                    # {EVOPTIM_WORKERS: "4"}: trainings at a time in one pod
mounts: []                        # - {kind: claim, name: images, path: /data, read_only: true}
                                  # kinds: claim, config_map, secret
scratch:                          # what pods may write to besides
  temporary: 1Gi
  cache: 4Gi
  cache_path: /cache

security:                         # satisfies the Pod Security level "restricted"
  run_as_non_root: true
  run_as_user: null               # null keeps the image's
  run_as_group: null
  fs_group: null
  seccomp: RuntimeDefault
  allow_privilege_escalation: false
  drop_capabilities: [ALL]
  read_only_root: true

queue: null                       # Kueue: {name: evoptim, priority_class: null, min_parallelism: 1}
labels: {}                        # of every pod and Job
annotations: {}
"""
