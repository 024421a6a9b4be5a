"""Strict validation: unknown fields, missing fields and types."""

from __future__ import annotations

import copy
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from manifest_checks.rendering import Object, name_of

KUEUE_GROUP = "kueue.x-k8s.io"
_FOLDER = os.environ.get("EVOPTIM_SCHEMA_DIR")

needs_schemas = pytest.mark.skipif(
    not _FOLDER, reason="EVOPTIM_SCHEMA_DIR names no folder with Kueue's CRDs"
)


def is_kueue(each: Object) -> bool:
    """Whether Kueue's CRDs describe the object."""
    return str(each["apiVersion"]).startswith(f"{KUEUE_GROUP}/")


def kubernetes_problems(things: list[Object]) -> list[str]:
    """What the newest Kubernetes API that is known refuses."""
    newest = kubernetes_validate.latest_version()
    problems = []
    for each in things:
        if is_kueue(each):
            continue
        try:
            kubernetes_validate.validate(each, newest, strict=True)
        except kubernetes_validate.ValidationError as error:
            problems.append(f"{name_of(each)}: {error.message}")
        except kubernetes_validate.SchemaNotFoundError:
            problems.append(f"{name_of(each)}: {newest} knows no {each['apiVersion']}")
    return problems


def kueue_problems(things: list[Object]) -> list[str]:
    """What Kueue's CRDs refuse."""
    problems = []
    for each in filter(is_kueue, things):
        schema = _schemas().get((each["apiVersion"], each["kind"]))
        if schema is None:
            problems.append(f"{name_of(each)}: no CRD serves {each['apiVersion']}")
            continue
        errors = jsonschema.Draft202012Validator(schema).iter_errors(each)
        problems.extend(f"{name_of(each)}: {error.message}" for error in errors)
    return problems


@lru_cache(maxsize=1)
def _schemas() -> dict[tuple[str, str], Any]:
    found = {}
    for path in sorted(Path(_FOLDER or "").glob(f"{KUEUE_GROUP}_*.yaml")):
        crd = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]
        for version in crd["versions"]:
            if version["served"] and not version.get("deprecated"):
                key = (f"{crd['group']}/{version['name']}", crd["names"]["kind"])
                found[key] = closed(version["schema"]["openAPIV3Schema"])
    return found


def closed(schema: Any) -> Any:
    """The schema with unknown fields refused wherever it lists the known ones."""
    schema = copy.deepcopy(schema)
    _close(schema)
    return schema


def _close(schema: Any) -> None:
    if isinstance(schema, list):
        for each in schema:
            _close(each)
    elif isinstance(schema, dict):
        known = schema.get("properties")
        if isinstance(known, dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema.setdefault("additionalProperties", False)
        for name, each in schema.items():
            # A field may be called like a keyword of the schema language.
            _close(list(each.values()) if name == "properties" else each)
