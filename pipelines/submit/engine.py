"""What all engines have in common: how a run is handed over, and what they say of it."""

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from pipelines.profile import ClusterProfile
from pipelines.submit.record import Submission

Phase = Literal[
    "pending", "running", "suspended", "cancelling", "succeeded", "failed", "cancelled", "gone"
]
"""Where a run, or a step of it, is. ``gone``: the engine knows it no more."""

_ENDED = ("succeeded", "failed", "cancelled", "gone")


@dataclass(frozen=True)
class Package:
    """A compiled search with all that an engine needs to start it."""

    name: str
    run: str
    store: str
    text: str
    """KFP's IR, or the WorkflowTemplate, as YAML."""
    arguments: dict[str, Any]
    """Values of the pipeline's parameters."""
    profile: ClusterProfile


@dataclass(frozen=True)
class Step:
    """One node of the engine's graph that is or was a pod, or failed before it became one."""

    name: str
    phase: Phase
    message: str = ""
    pod: str | None = None


@dataclass(frozen=True)
class EngineState:
    """What an engine says of a run. Whether its results are there, only the store says."""

    phase: Phase
    message: str = ""
    steps: tuple[Step, ...] = field(default=(), repr=False)

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.phase in _ENDED

    def failure(self) -> Step | None:
        """The first step that failed and says why; else the first that failed."""
        failed = [step for step in self.steps if step.phase == "failed"]
        return next((step for step in failed if step.message), failed[0] if failed else None)


class Engine(Protocol):
    """Kubeflow Pipelines or Argo Workflows.

    All calls raise InputError where the engine refuses the user or what it was given, and
    InfrastructureError where it cannot be reached.
    """

    @property
    def address(self) -> str:
        """URL of its API."""
        ...

    def start(self, package: Package) -> str:
        """Start a search, or find the one of this name that was started before; returns its id."""
        ...

    def state(self, submission: Submission) -> EngineState:
        """Where it is now."""
        ...

    def cancel(self, submission: Submission) -> None:
        """Ask for its end; a run that ended or is gone is left as it is."""
        ...

    def pods(self, submission: Submission) -> str:
        """Label selector of its pods; those of Jobs are not among them."""
        ...

    def page(self, submission: Submission) -> str | None:
        """Where a browser shows it, as far as that is known."""
        ...
