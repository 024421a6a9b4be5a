"""From the folder of manifests to the objects of an overlay."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]

MANIFESTS = Path(__file__).parents[2] / "manifests"
OVERLAYS = ("local", "gpu", "kueue", "argo-only", "kfp-standalone")

# pip installs kubectl beside the interpreter, which need not be on the path.
_PATH = os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent)])


def command() -> list[str] | None:
    """How to render here; None where neither kubectl nor kustomize is installed."""
    if kubectl := shutil.which("kubectl", path=_PATH):
        return [kubectl, "kustomize"]
    if kustomize := shutil.which("kustomize", path=_PATH):
        return [kustomize, "build"]
    return None


def copy_with_credentials(folder: Path) -> Path:
    """A copy of the manifests in which the credentials are made, as a user makes them."""
    target = folder / "manifests"
    shutil.copytree(MANIFESTS, target, ignore=shutil.ignore_patterns("*.env"))
    shutil.copy(MANIFESTS / "base" / "store.env", target / "base")
    local = target / "overlays" / "local"
    example = (local / "evoptim-s3.env.example").read_text(encoding="utf-8")
    (local / "evoptim-s3.env").write_text(example.replace("replace-me", "a" * 48))
    return target


def render(folder: Path) -> subprocess.CompletedProcess[str]:
    """What the kustomization in ``folder`` renders to, as text."""
    return subprocess.run(
        [*(command() or ()), str(folder)], capture_output=True, text=True, check=False
    )


def objects(text: str) -> list[Object]:
    """The objects of a rendered kustomization."""
    return [each for each in yaml.safe_load_all(text) if each]


def name_of(each: Object) -> str:
    """``Kind/name``, for messages."""
    return f"{each['kind']}/{each['metadata']['name']}"


def find(things: list[Object], kind: str, name: str) -> Object:
    """The object of this kind and name."""
    (found,) = (
        each for each in things if each["kind"] == kind and each["metadata"]["name"] == name
    )
    return found


def of_kind(things: list[Object], *kinds: str) -> list[Object]:
    """The objects of these kinds."""
    return [each for each in things if each["kind"] in kinds]
