"""The objects of a namespace, and what happened to them."""

from __future__ import annotations

import copy
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import kubernetes_validate

from kubernetes_api.wire import Object, Refused, status_object

KUBERNETES = "1.33"


class Objects:
    """Objects by kind (``pods``) and name; whoever changes one notes it, so that watches see it."""

    def __init__(self) -> None:
        self.objects: defaultdict[str, dict[str, Object]] = defaultdict(dict)
        self.history: list[tuple[int, str, str, Object]] = []
        self.version = 100
        self.forgotten = 0
        self.changed = threading.Condition(threading.RLock())
        self.down = False

    def note(self, kind: str, event: str, each: Object) -> None:
        """Let watches see that an object was ADDED, MODIFIED or DELETED."""
        with self.changed:
            self.version += 1
            each["metadata"]["resourceVersion"] = str(self.version)
            self.history.append((self.version, kind, event, copy.deepcopy(each)))
            self.changed.notify_all()

    def add(self, kind: str, each: Object) -> Object:
        """Create an object; returns what a client is told."""
        metadata = each["metadata"]
        with self.changed:
            if metadata["name"] in self.objects[kind]:
                told = f'{kind} "{metadata["name"]}" already exists'
                raise Refused(409, "AlreadyExists", told)
            metadata["uid"] = str(uuid.uuid4())
            metadata["creationTimestamp"] = now()
            self.objects[kind][metadata["name"]] = each
            self.note(kind, "ADDED", each)
            return copy.deepcopy(each)

    def read(self, kind: str, name: str) -> Object:
        """A copy of an object."""
        with self.changed:
            return copy.deepcopy(self.original(kind, name))

    def original(self, kind: str, name: str) -> Object:
        """The object itself: for whoever holds the lock and notes the change."""
        found = self.objects[kind].get(name)
        if found is None:
            raise Refused(404, "NotFound", f'{kind} "{name}" not found')
        return found

    def take(self, kind: str, name: str) -> None:
        """Remove an object, if it is there."""
        with self.changed:
            found = self.objects[kind].pop(name, None)
            if found is not None:
                self.note(kind, "DELETED", found)

    def mark_deleted(self, kind: str, name: str, options: Object) -> Object:
        """Give an object that is to go the time of its deletion; returns a copy."""
        with self.changed:
            found = self.original(kind, name)
            wanted = options.get("preconditions", {}).get("uid")
            if wanted not in (None, found["metadata"]["uid"]):
                raise Refused(409, "Conflict", "the UID in the precondition is another")
            found["metadata"].setdefault("deletionTimestamp", now())
            self.note(kind, "MODIFIED", found)
            return copy.deepcopy(found)

    def listing(self, kind: str, query: dict[str, str]) -> Object:
        """What a query selects."""
        with self.changed:
            found = [
                copy.deepcopy(each)
                for _, each in sorted(self.objects[kind].items())
                if selected(each, query)
            ]
            limit = int(query.get("limit", "0")) or len(found)
            return {"items": found[:limit], "metadata": {"resourceVersion": str(self.version)}}

    def events_since(self, kind: str, query: dict[str, str]) -> Iterator[Object]:
        """The events of a watch, until its time is over."""
        deadline = time.monotonic() + float(query["timeoutSeconds"])
        version = int(query["resourceVersion"])
        if version < self.forgotten:
            yield expired()
            return
        while time.monotonic() < deadline and not self.down:
            with self.changed:
                fresh = [each for each in self.history if each[0] > version]
                if not fresh:
                    self.changed.wait(0.05)
            for number, of, event, each in fresh:
                version = number
                if of == kind and selected(each, query):
                    yield {"type": event, "object": each}

    def forget(self) -> None:
        """Let every watch that starts from before now be told 410."""
        with self.changed:
            self.version += 1
            self.forgotten = self.version
            self.history.clear()


def now() -> str:
    """The time as Kubernetes writes it."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def expired() -> Object:
    """The event that ends a watch from too long ago."""
    return {"type": "ERROR", "object": status_object(410, "Expired", "too old resource version")}


def check_schema(each: Object) -> None:
    """Refuse what Kubernetes' published schema does not know."""
    try:
        kubernetes_validate.validate(each, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        raise Refused(422, "Invalid", str(error.message)) from None


def selected(found: Object, query: dict[str, str]) -> bool:
    """Whether an object is what the selectors of a query ask for."""
    labels = found["metadata"].get("labels") or {}
    if any(labels.get(key) != value for key, value in _pairs(query, "labelSelector")):
        return False
    return all(_at(found, path) == value for path, value in _pairs(query, "fieldSelector"))


def _pairs(query: dict[str, str], name: str) -> list[list[str]]:
    return [part.split("=", 1) for part in query.get(name, "").split(",") if part]


def _at(found: Object, path: str) -> Any:
    at: Any = found
    for part in path.split("."):
        at = at.get(part) if isinstance(at, dict) else None
    return at
