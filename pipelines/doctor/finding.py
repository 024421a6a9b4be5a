"""What a check found: a verdict, what it is about, and what to do."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from evoptim.errors import EvoptimError
from pipelines.kubernetes_api import ApiError, Cluster, ForbiddenError, Object

Verdict = Literal["ok", "warning", "failed", "unknown"]
"""``failed``: a search would not run. ``warning``: it would, but not as it should. ``unknown``:
this user may not look."""


@dataclass(frozen=True)
class Finding:
    """One line of the examination."""

    check: str
    """What was looked at, in a word or two."""
    verdict: Verdict
    told: str
    remedy: str = ""
    """What to do; empty where nothing need be done."""

    def __str__(self) -> str:
        return f"{self.told}: {self.remedy}" if self.remedy else self.told


Check = Callable[[], Iterable[Finding]]


def carry_out(name: str, check: Check) -> Iterator[Finding]:
    """The findings of a check; what it may not see, or what breaks, is a finding too."""
    try:
        yield from check()
    except ForbiddenError as error:
        yield Finding(name, "unknown", _reason(error), "ask somebody who may look")
    except EvoptimError as error:
        yield Finding(name, "failed", str(error))


def read(cluster: Cluster, path: str) -> Object | None:
    """An object of the cluster; None where there is none."""
    try:
        return cluster.request("GET", path)
    except ApiError as error:
        if error.status == 404:
            return None
        raise


def _reason(error: ForbiddenError) -> str:
    start = str(error).partition(": give pods")[0]
    return start.removeprefix("the API server forbids ")
