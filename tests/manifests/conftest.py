"""Every overlay, rendered once."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
from manifest_checks.rendering import (
    OVERLAYS,
    Object,
    command,
    copy_with_credentials,
    objects,
    render,
)


@pytest.fixture(scope="session")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the manifests with credentials made."""
    return copy_with_credentials(tmp_path_factory.mktemp("manifests"))


@pytest.fixture(scope="session")
def kustomize() -> None:
    """Skips where nothing renders."""
    if command() is None:
        pytest.skip("neither kubectl nor kustomize is installed")


@pytest.fixture(scope="session")
def all_rendered(manifests: Path, kustomize: None) -> dict[str, list[Object]]:
    """The objects of every overlay."""
    found = {}
    for overlay in OVERLAYS:
        answer = render(manifests / "overlays" / overlay)
        assert answer.returncode == 0, answer.stderr
        # kustomize warns of fields that it is going to drop.
        assert answer.stderr == ""
        found[overlay] = objects(answer.stdout)
    return found


@pytest.fixture
def rendered(all_rendered: dict[str, list[Object]]) -> Callable[[str], list[Object]]:
    """The objects of one overlay, to be changed at will."""
    return lambda overlay: copy.deepcopy(all_rendered[overlay])
