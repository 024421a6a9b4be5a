"""What the pods of a run print, as they print it.

Pods are asked again and again for what came after the last line: no connection stays open that a
proxy could cut, and a server that was away is asked again like any other.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from evoptim.errors import InfrastructureError
from pipelines.job_status import pod_trouble
from pipelines.kubernetes_api import ApiError, Cluster
from pipelines.pod import CONTAINER
from pipelines.submit.pod_logs import PodLog, list_pods, log_path, read_logs, step_of

Object = dict[str, Any]


@dataclass
class _Followed:
    """A pod, and how far its log has been read."""

    pod: Object
    last: str | None = None
    """The last line that was read, with its time before it."""


def follow(
    cluster: Cluster,
    namespace: str,
    selectors: Callable[[], Iterable[str]],
    has_ended: Callable[[], bool],
    *,
    step: str | None = None,
    tail: int = 50,
    most: int = 5,
    seconds: float = 2.0,
) -> Iterator[PodLog]:
    """What the pods of a run print from now on, until the run has ended.

    A pod that starts and succeeds between two looks is not seen; one that fails then is.

    Args:
        cluster: The cluster.
        namespace: Where the pods are.
        selectors: The label selectors of the pods, by now.
        has_ended: Whether nothing more will come of the run; of one that has ended already the
            logs are shown once, as :func:`~pipelines.submit.pod_logs.read_logs` does.
        step: A part of the pod's or the step's name; None follows all.
        tail: Lines of a pod that is at work already or has ended, counted from the end.
        most: How many pods at a time.
        seconds: Between two looks.

    Yields:
        The new lines of a pod; of one that waits or ended with trouble the trouble, too.

    Raises:
        InputError, InfrastructureError: as ``Cluster.request``, and what ``has_ended`` raises.
    """
    if has_ended():
        yield from read_logs(cluster, namespace, selectors(), step, tail, most)
        return
    chosen = tuple(selectors())
    # What failed before is for those who do not follow.
    told = {_id(pod) for pod in list_pods(cluster, namespace, chosen, "Failed", step)}
    waits: dict[str, str] = {}
    followed: dict[str, _Followed] = {}
    first_lines: int | None = tail
    while True:
        # Asked before the pods, so that what they printed until then is read once more.
        ended = has_ended()
        chosen = tuple(selectors())
        running = {_id(pod): pod for pod in list_pods(cluster, namespace, chosen, "Running", step)}
        failed = {_id(pod): pod for pod in list_pods(cluster, namespace, chosen, "Failed", step)}
        for key in [key for key in followed if key not in running]:
            yield from _farewell(cluster, namespace, followed.pop(key), failed.get(key))
            told.add(key)
        for key in failed.keys() - told:
            told.add(key)
            lines = _lines(cluster, namespace, _Followed(failed[key]), tail)
            yield _piece(failed[key], "Failed", lines)
        for key, pod in running.items():
            if key not in followed and len(followed) < most:
                followed[key] = _Followed(pod)
            if key in followed:
                first = first_lines if followed[key].last is None else None
                lines = _lines(cluster, namespace, followed[key], first)
                if lines:
                    yield _piece(pod, "Running", lines)
        yield from _waiting(cluster, namespace, chosen, step, most, waits)
        if ended:
            return
        first_lines = None
        time.sleep(seconds)


def _farewell(
    cluster: Cluster, namespace: str, one: _Followed, failed: Object | None
) -> Iterator[PodLog]:
    """The last lines of a pod that is no longer at work."""
    lines = _lines(cluster, namespace, one, None)
    if failed is not None:
        yield _piece(failed, "Failed", lines)
    elif lines:
        yield _piece(one.pod, "Succeeded", lines)


def _waiting(
    cluster: Cluster,
    namespace: str,
    selectors: Iterable[str],
    step: str | None,
    most: int,
    waits: dict[str, str],
) -> Iterator[PodLog]:
    """Why pods cannot start, told once of each; of thousands that wait, a few."""
    pending = list_pods(cluster, namespace, selectors, "Pending", step)
    for pod in pending[:most]:
        trouble = pod_trouble(pod) or ""
        # The message changes with each try; the reason tells them apart.
        reason = trouble.partition(":")[0]
        if reason and waits.get(_id(pod)) != reason:
            waits[_id(pod)] = reason
            yield _piece(pod, "Pending", [])


def _piece(pod: Object, phase: str, lines: list[str]) -> PodLog:
    text = "".join(f"{line}\n" for line in lines)
    trouble = None if phase == "Running" else pod_trouble(pod)
    return PodLog(pod["metadata"]["name"], step_of(pod), phase, trouble, text)


def _lines(cluster: Cluster, namespace: str, one: _Followed, tail: int | None) -> list[str]:
    """What a pod has printed since it was last asked."""
    query = {"container": CONTAINER, "timestamps": "true"}
    if one.last is not None:
        query["sinceTime"] = _second(one.last)
    elif tail is not None:
        query["tailLines"] = str(tail)
    try:
        text = cluster.text(log_path(namespace, one.pod["metadata"]["name"]), query)
    except ApiError as error:
        # A container that has not started has no log; nor has a pod that is gone by now.
        if error.status not in (400, 404):
            raise
        return []
    # Only newlines: a program may print any character that Python takes for the end of a line.
    stamped = [line for line in text.split("\n") if line]
    if one.last in stamped:
        # Times are asked for by the second, so that a second's first lines come again.
        stamped = stamped[len(stamped) - stamped[::-1].index(one.last) :]
    if stamped:
        one.last = stamped[-1]
    return [line.partition(" ")[2] for line in stamped]


def _second(line: str) -> str:
    """The time of a line, to the second; nodes may write it with their own offset from UTC."""
    stamp = line.partition(" ")[0]
    whole, dot, rest = stamp.partition(".")
    offset = rest.lstrip("0123456789") if dot else ""
    try:
        return datetime.fromisoformat(f"{whole}{offset}".replace("Z", "+00:00")).isoformat()
    except ValueError:
        raise InfrastructureError(
            f"the cluster leaves out when a line was printed ({line[:80]!r}): leave out --follow"
        ) from None


def _id(pod: Object) -> str:
    metadata = pod["metadata"]
    return str(metadata.get("uid") or metadata["name"])
