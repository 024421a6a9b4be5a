"""A container's log as a kubelet serves it: the end of it, what came since a time, with times."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone

_BEGINNING = datetime(2026, 1, 1, 1, 0, 0, 100_000, timezone(timedelta(hours=1)))
_STEP = timedelta(seconds=0.4)


def served(text: str, query: Mapping[str, str]) -> str:
    """What is answered for a log; its lines were printed 0.4 s apart, on a node in Berlin."""
    # Programs print what Python takes for the end of a line; kubelets know newlines only.
    lines = [
        (_BEGINNING + number * _STEP, f"{line}\n")
        for number, line in enumerate(text.removesuffix("\n").split("\n"))
    ]
    if "sinceTime" in query:
        since = datetime.fromisoformat(query["sinceTime"])
        # Kubelets read whole seconds.
        assert since.microsecond == 0
        lines = [each for each in lines if each[0] >= since]
    if "tailLines" in query:
        lines = lines[-int(query["tailLines"]) :]
    if query.get("timestamps") != "true":
        return "".join(line for _, line in lines)
    return "".join(f"{at.isoformat()} {line}" for at, line in lines)
