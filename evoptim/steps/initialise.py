"""The first step: fixes the run's configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from evoptim.config import Protocol, RunConfig
from evoptim.config.reading import describe
from evoptim.errors import InputError
from evoptim.steps.images import load_shared
from evoptim.store import Store, load, open_store, save
from evoptim.store.layout import config_key

Progress = Callable[[int, int], None]


def initialise(store: str, run: str, config: str) -> None:
    """Write ``config`` (JSON text) as the configuration of ``run``.

    Raises:
        InputError: the configuration is none, its data cannot be used, or the run exists with
            another one.
    """
    try:
        given = RunConfig.model_validate_json(config)
    except ValidationError as error:
        raise InputError(describe(error)) from None
    opened = open_store(store)
    write_config(opened, run, resolve_data(given, store=opened))


def resolve_data(
    config: RunConfig, progress: Progress | None = None, store: Store | None = None
) -> RunConfig:
    """``config`` with its data's fingerprints and absolute paths: reads and checks every image.

    Args:
        config: The configuration.
        progress: Called with (images read, images to read).
        store: Where other machines are to find the decoded images; None keeps them here.

    Raises:
        InputError: the data are missing, broken or too few.
    """
    protocol = _resolve(config.protocol, store, progress)
    first = config.initial_protocol
    initial = None if first is None else _resolve(first, store, progress)
    return config.model_copy(update={"protocol": protocol, "initial_protocol": initial})


def _resolve(protocol: Protocol, store: Store | None, progress: Progress | None) -> Protocol:
    if protocol.task.fingerprint is not None:
        return protocol
    # Only who looks at images pays for torch.
    from evoptim.tasks import fingerprint

    data = protocol.task.data
    # Steps run in other folders.
    path = None if data is None else str(Path(data).expanduser().absolute())
    task = protocol.task.model_copy(update={"data": path})
    images = load_shared(store, task, progress)
    task = task.model_copy(update={"fingerprint": fingerprint(images)})
    return protocol.model_copy(update={"task": task})


def write_config(store: Store, run: str, config: RunConfig) -> None:
    """Write the configuration of a run, or make sure that it is the one there.

    Raises:
        InputError: the run has another configuration.
    """
    key = config_key(run)
    if not save(store, key, config):
        check_same(run, load(store, key, RunConfig), config)


def check_same(run: str, existing: RunConfig, given: RunConfig) -> None:
    """Make sure that a run is continued with its own configuration.

    Args:
        run: Its name.
        existing: Its configuration.
        given: The other; data without a fingerprint are taken for the same.

    Raises:
        InputError: they differ.
    """
    given = _with_fingerprints(given, existing)
    if existing != given:
        raise InputError(
            f"the run {run!r} exists with another configuration ({_difference(existing, given)}): "
            "choose another name with --run, or give the same configuration to continue it"
        )


def _with_fingerprints(config: RunConfig, source: RunConfig) -> RunConfig:
    """``config`` with the fingerprints that it lacks and ``source`` has."""

    def completed(protocol: Protocol | None, known: Protocol | None) -> Protocol | None:
        if protocol is None or known is None or protocol.task.fingerprint is not None:
            return protocol
        task = protocol.task.model_copy(update={"fingerprint": known.task.fingerprint})
        return protocol.model_copy(update={"task": task})

    protocols = {
        name: completed(getattr(config, name), getattr(source, name))
        for name in ("protocol", "initial_protocol")
    }
    return config.model_copy(update=protocols)


def _difference(existing: RunConfig, given: RunConfig) -> str:
    """The first field that differs, as ``path: there … here …``."""

    def first(path: str, old: object, new: object) -> str | None:
        if isinstance(old, dict) and isinstance(new, dict):
            for name in sorted({*old, *new}):
                found = first(f"{path}.{name}" if path else name, old.get(name), new.get(name))
                if found:
                    return found
            return None
        return None if old == new else f"{path} is {old!r} there, {new!r} here"

    return first("", existing.model_dump(mode="json"), given.model_dump(mode="json")) or "the same"
