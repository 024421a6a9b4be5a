"""The controller of Indexed Jobs: pods of indices, retries by index, rules about failures, ends.

As Kubernetes 1.33 documents it: a pod that ended keeps its finalizer until it is counted; what a
rule ignores counts nowhere; a Job first says that it will end (``FailureTarget``,
``SuccessCriteriaMet``) and, when its last pod is gone, that it has (``Failed``, ``Complete``).
"""

from __future__ import annotations

import copy
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from kubernetes_api.node import condition
from kubernetes_api.objects import Objects, now
from kubernetes_api.wire import Object

FINALIZER = "batch.kubernetes.io/job-tracking"
# Ten seconds in Kubernetes.
BACKOFF = 0.2
ENDED = ("Succeeded", "Failed")


@dataclass
class Counts:
    """What a controller knows of one Job."""

    done: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)
    failures: dict[int, int] = field(default_factory=dict)
    failed: int = 0
    refusal: str = ""
    not_before: dict[int, float] = field(default_factory=dict)


class JobController:
    """Drives one Job from its creation to its end, or to its deletion."""

    def __init__(
        self,
        space: Objects,
        job: Object,
        create: Callable[[Object], object],
        end: Callable[[str], object],
    ) -> None:
        self.space, self.job = space, job
        self.create, self.end = create, end
        self.counts = Counts()

    def run(self) -> None:
        """Reconcile until there is nothing more to do."""
        verdict: Object | None = None
        self._tell(startTime=now())
        while self._is_there():
            pods = self.pods()
            for pod in pods:
                self._count(pod)
            active = [each for each in self.pods() if each["status"]["phase"] not in ENDED]
            verdict = verdict or self._verdict(len(active))
            if verdict is None:
                self._start(active)
            elif active:
                for pod in active:
                    self.end(pod["metadata"]["name"])
            self._tell_counts(active, verdict)
            if verdict is not None and not active:
                self._finish(verdict)
                return
            time.sleep(0.05)

    def pods(self) -> list[Object]:
        """The Job's own pods, themselves."""
        uid = self.job["metadata"]["uid"]
        with self.space.changed:
            return [
                each
                for each in self.space.objects["pods"].values()
                if any(owner["uid"] == uid for owner in each["metadata"].get("ownerReferences", ()))
            ]

    def _is_there(self) -> bool:
        metadata = self.job["metadata"]
        with self.space.changed:
            kept = self.space.objects["jobs"].get(metadata["name"])
            return kept is self.job and "deletionTimestamp" not in metadata

    def _count(self, pod: Object) -> None:
        if pod["status"]["phase"] not in ENDED:
            return
        with self.space.changed:
            if FINALIZER not in pod["metadata"].get("finalizers", ()):
                return
            pod["metadata"]["finalizers"].remove(FINALIZER)
            self.space.note("pods", "MODIFIED", pod)
        index = index_of(pod)
        if pod["status"]["phase"] == "Succeeded":
            self.counts.done.add(index)
            return
        action, told = self._rule(pod)
        if action == "Ignore":
            return
        self.counts.failed += 1
        if action == "FailJob":
            self.counts.refusal = told
        times = self.counts.failures[index] = self.counts.failures.get(index, 0) + 1
        self.counts.not_before[index] = time.monotonic() + BACKOFF * 2 ** (times - 1)
        if times > self.job["spec"]["backoffLimitPerIndex"]:
            self.counts.lost.add(index)

    def _rule(self, pod: Object) -> tuple[str, str]:
        """The action of the first rule that is about a failed pod."""
        status, name = pod["status"], pod["metadata"]["name"]
        holds = {(each["type"], each["status"]) for each in status.get("conditions") or ()}
        codes = {
            each["name"]: each["state"]["terminated"]["exitCode"]
            for each in status.get("containerStatuses") or ()
            if "terminated" in each["state"]
        }
        for number, rule in enumerate(self.job["spec"]["podFailurePolicy"]["rules"]):
            conditions = {
                (each["type"], each["status"]) for each in rule.get("onPodConditions", ())
            }
            if conditions & holds:
                return rule["action"], ""
            wanted = rule.get("onExitCodes")
            if wanted is None:
                continue
            assert wanted["operator"] == "In"
            code = codes.get(wanted["containerName"])
            if code in wanted["values"]:
                return rule["action"], (
                    f"Container {wanted['containerName']} for pod "
                    f"{pod['metadata']['namespace']}/{name} failed with exit code {code} matching "
                    f"{rule['action']} rule at index {number}"
                )
        return "Count", ""

    def _verdict(self, active: int) -> Object | None:
        """How the Job will end, as soon as that is clear."""
        spec, counts = self.job["spec"], self.counts
        if counts.refusal:
            return _failure("PodFailurePolicy", counts.refusal)
        if len(counts.lost) > spec["maxFailedIndexes"]:
            told = "Job has exceeded the specified maximal number of failed indexes"
            return _failure("MaxFailedIndexesExceeded", told)
        if active or len(counts.done) + len(counts.lost) < spec["completions"]:
            return None
        if counts.lost:
            return _failure("FailedIndexes", "Job has failed indexes")
        return {
            "type": "Complete",
            "reason": "CompletionsReached",
            "message": "Reached expected number of succeeded pods",
        }

    def _start(self, active: list[Object]) -> None:
        counts = self.counts
        over = counts.done | counts.lost | {index_of(each) for each in active}
        waiting = [
            index
            for index in range(self.job["spec"]["completions"])
            if index not in over and counts.not_before.get(index, 0.0) <= time.monotonic()
        ]
        for index in waiting[: self.job["spec"]["parallelism"] - len(active)]:
            self.create(pod_of(self.job, index))

    def _tell_counts(self, active: list[Object], verdict: Object | None) -> None:
        ready = [each for each in active if each["status"]["phase"] == "Running"]
        going = [each for each in active if "deletionTimestamp" in each["metadata"]]
        told = {
            "succeeded": len(self.counts.done),
            "failed": self.counts.failed,
            "active": len(active) - len(going),
            "ready": len(ready),
            "terminating": len(going),
            "completedIndexes": ranges(self.counts.done),
            "failedIndexes": ranges(self.counts.lost),
        }
        if verdict is not None and "conditions" not in self.job["status"]:
            first = "SuccessCriteriaMet" if verdict["type"] == "Complete" else "FailureTarget"
            told["conditions"] = [condition(first, verdict["reason"], verdict["message"])]
        self._tell(**told)

    def _finish(self, verdict: Object) -> None:
        last = condition(verdict["type"], verdict["reason"], verdict["message"])
        end = {"completionTime": now()} if verdict["type"] == "Complete" else {}
        self._tell(conditions=[*self.job["status"]["conditions"], last], **end)

    def _tell(self, **told: object) -> None:
        status = self.job["status"]
        with self.space.changed:
            if any(status.get(key) != value for key, value in told.items()):
                status.update(told)
                if self.space.objects["jobs"].get(self.job["metadata"]["name"]) is self.job:
                    self.space.note("jobs", "MODIFIED", self.job)


def pod_of(job: Object, index: int) -> Object:
    """A new pod of an index."""
    template = copy.deepcopy(job["spec"]["template"])
    name, spec = job["metadata"]["name"], template["spec"]
    marks = {"batch.kubernetes.io/job-completion-index": str(index)}
    for container in spec["containers"]:
        container.setdefault("env", []).append(
            {"name": "JOB_COMPLETION_INDEX", "value": str(index)}
        )
    owner = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": name,
        "uid": job["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{name}-{index}-{uuid.uuid4().hex[:5]}",
            "namespace": job["metadata"]["namespace"],
            "labels": {
                **template["metadata"]["labels"],
                **marks,
                "batch.kubernetes.io/job-name": name,
                "batch.kubernetes.io/controller-uid": job["metadata"]["uid"],
            },
            "annotations": {**template["metadata"].get("annotations", {}), **marks},
            "finalizers": [FINALIZER],
            "ownerReferences": [owner],
        },
        "spec": {**spec, "hostname": f"{name}-{index}"},
    }


def index_of(pod: Object) -> int:
    """The index that a pod does."""
    return int(pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"])


def ranges(indices: set[int]) -> str:
    """As Kubernetes writes indices: ``1,3-5``."""
    parts: list[list[int]] = []
    for index in sorted(indices):
        if parts and parts[-1][-1] == index - 1:
            parts[-1] = [parts[-1][0], index]
        else:
            parts.append([index])
    return ",".join("-".join(map(str, each)) for each in parts)


def _failure(reason: str, message: str) -> Object:
    return {"type": "Failed", "reason": reason, "message": message}
