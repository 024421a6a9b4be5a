"""What a Job and its pods say of how the work goes, in words for a log."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.job import INPUT_ERROR_EXIT_CODE
from pipelines.pod import CONTAINER

Object = dict[str, Any]

# Conditions that come once pods are being ended, before the one that follows when they are.
_ENDING = {"FailureTarget": "failed", "SuccessCriteriaMet": "complete"}
_ENDED = {"Failed": "failed", "Complete": "complete"}


@dataclass(frozen=True)
class JobStatus:
    """Where a Job is."""

    state: Literal["running", "suspended", "failed", "complete"]
    settled: bool
    """For a Job that ended: whether its last pod is gone too."""
    reason: str
    """Kubernetes' word for why it failed, such as ``MaxFailedIndexesExceeded``."""
    message: str
    done: int
    """Indices that succeeded."""
    failed: int
    """Indices that failed for good."""
    active: int
    """Pods at work or waiting for a node."""
    total: int
    """Indices."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will be started."""
        return self.state in ("failed", "complete")

    def __str__(self) -> str:
        counts = f"{self.done} of {self.total} done, {self.failed} failed, {self.active} active"
        waiting = ", suspended: its queue has no room, or somebody suspended it"
        return counts + (waiting if self.state == "suspended" else "")


def read_status(job: Object) -> JobStatus:
    """Where this Job is."""
    status = job.get("status") or {}
    spec = job["spec"]
    conditions = {
        each["type"]: each for each in status.get("conditions") or () if each["status"] == "True"
    }
    state: Any = "suspended" if spec.get("suspend") else "running"
    reason = message = ""
    settled = False
    for types, final in ((_ENDING, False), (_ENDED, True)):
        for name, word in types.items():
            if name in conditions:
                state, settled = word, final
                reason = conditions[name].get("reason", "")
                message = conditions[name].get("message", "")
    return JobStatus(
        state=state,
        settled=settled,
        reason=reason,
        message=message,
        done=status.get("succeeded") or 0,
        failed=count_indices(status.get("failedIndexes") or ""),
        active=status.get("active") or 0,
        total=spec.get("completions") or 0,
    )


def count_indices(ranges: str) -> int:
    """How many indices Kubernetes' text, such as ``1,3-5``, names."""
    count = 0
    for part in filter(None, ranges.split(",")):
        low, _, high = part.partition("-")
        count += int(high or low) - int(low) + 1
    return count


def trouble(pods: Iterable[Object]) -> str | None:
    """Why the first of these pods that has a reason is not at work: ``<pod>: OOMKilled …``."""
    for pod in pods:
        reason = pod_trouble(pod)
        if reason:
            return f"{pod['metadata']['name']}: {reason}"
    return None


def pod_trouble(pod: Object) -> str | None:
    """Why a pod failed or waits, or None: OOMKilled, ImagePullBackOff, Unschedulable, Evicted…"""
    status = pod.get("status") or {}
    for each in status.get("containerStatuses") or ():
        state = each.get("state") or {}
        ended, waiting = state.get("terminated"), state.get("waiting")
        if ended and ended.get("exitCode"):
            told = _last_line(ended.get("message"))
            return _joined(f"{ended.get('reason', 'Error')} (exit {ended['exitCode']})", told)
        if waiting and waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            return _joined(waiting["reason"], _last_line(waiting.get("message")))
    if status.get("reason"):
        return _joined(status["reason"], _last_line(status.get("message")))
    for condition in status.get("conditions") or ():
        kind, holds = condition.get("type"), condition.get("status")
        if (kind, holds) in (("DisruptionTarget", "True"), ("PodScheduled", "False")):
            reason = condition.get("reason") or kind
            return _joined(reason, _last_line(condition.get("message")))
    return None


def refusal(pods: Iterable[Object]) -> str | None:
    """The line with which a pod refused what it was given, or None."""
    for pod in pods:
        for each in (pod.get("status") or {}).get("containerStatuses") or ():
            ended = (each.get("state") or {}).get("terminated") or {}
            refused = ended.get("exitCode") == INPUT_ERROR_EXIT_CODE
            if refused and each.get("name") == CONTAINER:
                return _last_line(ended.get("message")).removeprefix("error: ")
    return None


def is_disrupted(pod: Object) -> bool:
    """Whether a pod is being ended by its cluster: preempted, drained, evicted."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(
        each.get("type") == "DisruptionTarget" and each.get("status") == "True"
        for each in conditions
    )


def _joined(reason: str, told: str) -> str:
    return f"{reason}: {told[:300]}" if told else reason


def _last_line(text: str | None) -> str:
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    return lines[-1] if lines else ""
