"""Health: whether a step could run here, found out by doing a little of all that it does."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Iterator
from importlib import import_module

from evoptim.errors import InfrastructureError
from evoptim.store import open_store
from evoptim.store.layout import run_prefix


def check_health(store: str | None = None) -> Iterator[str]:
    """Check one thing after another that a step needs; quick, and nothing is left behind.

    Args:
        store: Folder or ``s3://bucket/prefix`` that must answer; None to leave it out.

    Yields:
        A line for each thing that is sound.

    Raises:
        InputError: the store's address is none, or the store refuses.
        InfrastructureError: something else is broken.
    """
    yield f"python {platform.python_version()}"
    yield f"torch {_torch()}"
    _import_pipeline()
    yield "the pipeline's components can be imported"
    yield f"temporary folder {_temporary()} can be written"
    if store is not None:
        opened = open_store(store)
        # Reads alone: a container that only looks may hold credentials that only read.
        next(iter(opened.list(run_prefix("health"))), None)
        yield f"store {opened.url} answers"


def _torch() -> str:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        found = torch.ones(2, device=device).sum().item()
    except RuntimeError as error:
        raise InfrastructureError(f"torch cannot compute on {device}: {error}") from error
    if found != 2.0:
        raise InfrastructureError(f"torch computes 1 + 1 = {found} on {device}")
    return f"{torch.__version__} computes on {device}"


def _import_pipeline() -> None:
    # kfp with them, as a container of Kubeflow does before it comes to a step.
    try:
        import_module("components")
    except ImportError as error:
        raise InfrastructureError(f"the pipeline's components cannot run: {error}") from error


def _temporary() -> str:
    try:
        with tempfile.TemporaryFile() as file:
            file.write(b"x")
        return tempfile.gettempdir()
    except OSError as error:
        raise InfrastructureError(f"no temporary file can be written: {error}") from error
