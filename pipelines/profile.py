"""The cluster profile: how pods run there, apart from what they compute."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from evoptim.config import Value
from evoptim.config.protocol import Fraction, distinct
from evoptim.config.run import MAX_CANDIDATES
from evoptim.container_image import DEFAULT_IMAGE
from pipelines.kubernetes_names import (
    Image,
    Key,
    Label,
    LabelKey,
    LabelValue,
    Name,
    Path,
    Variable,
)
from pipelines.quantity import Quantity, amount

Role = Literal["search", "worker"]
"""``worker``: the pods that train. ``search``: every other step of the pipeline."""

FanOut = Literal["loop", "job", "auto"]

# What lists and shell histories of clusters must not show.
_SECRET_VARIABLES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_DAY = 24 * 3600

Seconds = Annotated[int, Field(ge=1, le=365 * _DAY)]


class Amounts(Value):
    """CPU and memory of one container."""

    cpu: Quantity
    """Cores, such as ``1`` or ``500m``."""
    memory: Quantity
    """Bytes, such as ``2Gi``."""


class Resources(Value):
    """What one pod asks for and what it may take."""

    requests: Amounts
    limits: Amounts
    gpu: Annotated[int, Field(ge=0, le=64)] = 0
    """GPUs of one pod; requested and limited alike."""
    gpu_resource: LabelKey = "nvidia.com/gpu"
    """The name under which the cluster's device plugin offers them."""

    @model_validator(mode="after")
    def _ordered(self) -> "Resources":
        for name in ("cpu", "memory"):
            low, high = getattr(self.requests, name), getattr(self.limits, name)
            if amount(low) > amount(high):
                raise ValueError(
                    f"requests.{name} must not exceed limits.{name}, got {low} > {high}: "
                    "raise the limit"
                )
        return self


class Toleration(Value):
    """A taint that pods may live with."""

    key: LabelKey | None = None
    """None, with ``Exists``, tolerates every taint."""
    operator: Literal["Equal", "Exists"] = "Equal"
    value: LabelValue | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """None for all three."""
    toleration_seconds: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _meaningful(self) -> "Toleration":
        if self.operator == "Exists" and self.value:
            raise ValueError("with operator Exists leave out the value, or use operator Equal")
        if self.operator == "Equal" and self.key is None:
            raise ValueError("operator Equal needs a key; operator Exists tolerates all without")
        if self.toleration_seconds is not None and self.effect != "NoExecute":
            raise ValueError("toleration_seconds goes with effect NoExecute only")
        return self


class NodeExpression(Value):
    """A condition on the labels of a node."""

    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"] = "In"
    values: tuple[LabelValue, ...] = ()

    @model_validator(mode="after")
    def _meaningful(self) -> "NodeExpression":
        if (self.operator in ("Exists", "DoesNotExist")) == bool(self.values):
            raise ValueError(
                f"operator {self.operator} takes {'no' if self.values else 'at least one'} value, "
                f"got {list(self.values)}"
            )
        if self.operator in ("Gt", "Lt") and not (
            len(self.values) == 1 and self.values[0].isdecimal()
        ):
            raise ValueError(
                f"operator {self.operator} takes one whole number, got {list(self.values)}"
            )
        return self


class NodeTerm(Value):
    """Conditions that a node must meet together."""

    expressions: Annotated[tuple[NodeExpression, ...], Field(min_length=1)]
    weight: Annotated[int, Field(ge=1, le=100)] | None = None
    """None: pods run only where one of such terms holds. 1 to 100: how much it is preferred."""


class PodProfile(Value):
    """How one kind of pod runs."""

    service_account: Name
    priority_class: Name | None
    """Existing PriorityClass; None for the cluster's default. KFP cannot set it: there, give the
    pods of its namespace a default, or use Kueue's."""
    resources: Resources
    node_selector: dict[LabelKey, LabelValue] = {}
    node_affinity: tuple[NodeTerm, ...] = ()
    """Terms without a weight are alternatives of which one must hold."""
    tolerations: tuple[Toleration, ...] = ()
    shared_memory: Quantity | None = None
    """Size of ``/dev/shm``, which counts as memory of the pod; None keeps the engine's 64 MiB."""
    timeout_seconds: Seconds
    """A pod that runs longer is ended as failed; it is then retried."""
    retries: Annotated[int, Field(ge=0, le=100)]
    """How often a failed pod is replaced. Preempted, evicted and drained ones do not count."""
    labels: dict[LabelKey, LabelValue] = {}
    annotations: dict[LabelKey, str] = {}

    @model_validator(mode="after")
    def _fits(self) -> "PodProfile":
        size, limit = self.shared_memory, self.resources.limits.memory
        if size is not None and amount(size) >= amount(limit):
            raise ValueError(
                f"shared_memory is part of the pod's memory and must stay below limits.memory, "
                f"got {size} of {limit}: lower the one or raise the other"
            )
        return self


class KeySource(Value):
    """A Secret or ConfigMap that variables are taken from."""

    name: Name
    variables: Annotated[dict[Variable, Key], Field(min_length=1)]
    """Environment variable: key of the object."""
    optional: bool = False
    """Whether pods start without the object or one of these keys."""


class Environment(Value):
    """Environment variables of every pod."""

    secrets: tuple[KeySource, ...] = (
        KeySource(
            name="evoptim-s3",
            variables={
                "AWS_ACCESS_KEY_ID": "AWS_ACCESS_KEY_ID",
                "AWS_SECRET_ACCESS_KEY": "AWS_SECRET_ACCESS_KEY",
            },
        ),
        KeySource(
            name="evoptim-s3",
            variables={"AWS_SESSION_TOKEN": "AWS_SESSION_TOKEN"},
            optional=True,
        ),
    )
    config_maps: tuple[KeySource, ...] = (
        KeySource(
            name="evoptim-store",
            variables={
                "EVOPTIM_STORE": "EVOPTIM_STORE",
                "AWS_ENDPOINT_URL": "AWS_ENDPOINT_URL",
                "AWS_REGION": "AWS_REGION",
                "AWS_DEFAULT_REGION": "AWS_DEFAULT_REGION",
            },
            optional=True,
        ),
    )
    literals: dict[Variable, str] = {}
    """Never for what must stay secret: everybody who may read pods can read it."""

    @model_validator(mode="after")
    def _once(self) -> "Environment":
        for name in _SECRET_VARIABLES:
            if name in self.literals:
                raise ValueError(f"{name} belongs into a Secret: name it under environment.secrets")
        names = [
            *self.literals,
            *(name for each in (*self.secrets, *self.config_maps) for name in each.variables),
        ]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the variable {name} is given twice: leave one")
        return self


class Mount(Value):
    """An existing object of the namespace as a folder: data, or certificates."""

    kind: Literal["claim", "config_map", "secret"]
    """``claim`` is a PersistentVolumeClaim. The others are read-only."""
    name: Name
    path: Path
    read_only: bool = False
    """For a claim; KFP mounts it writable all the same."""


class Scratch(Value):
    """Folders that pods may write to and that end with them."""

    temporary: Quantity = "1Gi"
    """Size of ``/tmp``, which is also the home folder."""
    cache: Quantity = "4Gi"
    """Size of the cache of decoded images."""
    cache_path: Path = "/cache"


class Security(Value):
    """Security context of every pod; the defaults satisfy the Pod Security level ``restricted``.

    On KFP its own backend sets seccomp and capabilities, and the root file system is writable.
    """

    run_as_non_root: bool = True
    run_as_user: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    """None keeps the image's, or what the namespace assigns."""
    run_as_group: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    fs_group: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    """Group that owns mounted claims."""
    seccomp: Literal["RuntimeDefault", "Unconfined"] | None = "RuntimeDefault"
    allow_privilege_escalation: bool = False
    drop_capabilities: tuple[str, ...] = ("ALL",)
    read_only_root: bool = True

    @model_validator(mode="after")
    def _consistent(self) -> "Security":
        if self.run_as_non_root and self.run_as_user == 0:
            raise ValueError("run_as_user 0 is root: choose another, or run_as_non_root: false")
        return self


class Queue(Value):
    """Kueue: pods that train wait here until there is quota for them."""

    name: Label = "evoptim"
    """An existing LocalQueue of the namespace."""
    priority_class: Name | None = None
    """An existing WorkloadPriorityClass."""
    min_parallelism: Annotated[int, Field(ge=1)] | None = 1
    """An Indexed Job starts as soon as there is room for so many pods; None waits for all."""


_STEPS = PodProfile(
    service_account="evoptim-search",
    priority_class="evoptim-search",
    # Most of them wait or read; proposing and selecting thousands takes what cores are idle, eight
    # at the most, and some 300 MB on each.
    resources=Resources(
        requests=Amounts(cpu="250m", memory="1Gi"), limits=Amounts(cpu="8", memory="4Gi")
    ),
    timeout_seconds=2 * 3600,
    retries=3,
)
_WORKERS = PodProfile(
    service_account="evoptim-worker",
    priority_class="evoptim-worker",
    resources=Resources(
        requests=Amounts(cpu="1", memory="2Gi"), limits=Amounts(cpu="1", memory="2Gi")
    ),
    shared_memory="256Mi",
    timeout_seconds=6 * 3600,
    retries=2,
)


class ClusterProfile(Value):
    """How a search runs on one cluster. It changes no result: that is the run's configuration."""

    namespace: Label = "evoptim"
    image: Image = DEFAULT_IMAGE
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    image_pull_secrets: Annotated[tuple[Name, ...], AfterValidator(distinct)] = ()
    candidates_per_task: Annotated[int, Field(ge=1, le=MAX_CANDIDATES)] = 1
    """Candidates that one pod trains, one after another (``EVOPTIM_WORKERS``: at a time)."""
    parallelism: Annotated[int, Field(ge=1, le=10_000)] = 8
    """Training pods at a time."""
    fan_out: FanOut = "auto"
    """``loop``: the engine's own, some three pods and up to 2.6 KB of workflow for each task.
    ``job``: one Indexed Job a stage, of constant size. ``auto``: loop where it fits easily."""
    max_failed_fraction: Fraction = 0.1
    """Share of a stage's tasks that may fail for good before the rest of them is stopped. Whether
    selection then goes on is for the run's ``max_missing_fraction`` to say."""
    stage_timeout_seconds: Seconds = 7 * _DAY
    """A stage's Job that runs longer is ended as failed."""
    job_ttl_seconds: Annotated[int, Field(ge=600, le=365 * _DAY)] = _DAY
    """How long a finished Job and its pods' logs stay."""
    workflow_ttl_seconds: Annotated[int, Field(ge=600, le=365 * _DAY)] = 7 * _DAY
    """How long a finished Argo workflow stays."""
    workers: PodProfile = _WORKERS
    """The pods that train."""
    steps: PodProfile = _STEPS
    """All other steps of the pipeline."""
    environment: Environment = Environment()
    mounts: tuple[Mount, ...] = ()
    scratch: Scratch = Scratch()
    security: Security = Security()
    queue: Queue | None = None
    """None where there is no Kueue."""
    labels: dict[LabelKey, LabelValue] = {}
    """Labels of every pod and Job, beside evoptim's own."""
    annotations: dict[LabelKey, str] = {}

    @model_validator(mode="after")
    def _distinct_paths(self) -> "ClusterProfile":
        paths = ["/tmp", "/dev/shm", self.scratch.cache_path, *(each.path for each in self.mounts)]
        for path in paths:
            if [each.rstrip("/") for each in paths].count(path.rstrip("/")) > 1:
                raise ValueError(f"two volumes share the path {path}: move one of them")
        return self

    def pods(self, role: Role) -> PodProfile:
        """The profile of this kind of pod."""
        return self.workers if role == "worker" else self.steps

    def watch_timeout_seconds(self) -> int:
        """How long the step that watches a stage's Job may run."""
        return self.stage_timeout_seconds + self.steps.timeout_seconds

    def settings(self) -> dict[str, Any]:
        """Every setting as plain JSON values."""
        return self.model_dump(mode="json")
