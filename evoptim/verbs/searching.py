"""Search: the pipeline on this machine, from a configuration to a report."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evoptim.analysis import Summary
from evoptim.cache import CACHE_VARIABLE, cache_directory
from evoptim.config import RunConfig
from evoptim.errors import EvoptimError, InfrastructureError, InputError
from evoptim.steps.evaluate import WORKERS_VARIABLE
from evoptim.steps.initialise import resolve_data, write_config
from evoptim.steps.processes import cores
from evoptim.steps.report import is_reported
from evoptim.store import Store, check_writable, load, open_store
from evoptim.store.layout import log_key, report_key, run_prefix
from evoptim.store.local import LocalStore
from evoptim.verbs.progress import Progress, Status

if TYPE_CHECKING:
    from pipelines import Containers
    from pipelines.containers import Sandbox

DEFAULT_STORE = "evoptim-store"
"""Folder that a search writes to where none is named."""

# kfp.local runs at most two iterations of a loop at once, whatever is asked.
_PARALLEL_TASKS = 2
_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class SearchResult:
    """A finished search."""

    run: str
    store: str
    summary: Summary
    report: str
    """Where the report is: a path, or a URL in the store."""
    reused: bool
    """Whether the run was finished already and nothing had to be computed."""


def search(
    config: RunConfig,
    run: str,
    store: str = DEFAULT_STORE,
    *,
    workers: int | None = None,
    containers: Containers | None = None,
    on_images: Callable[[int, int], None] | None = None,
    on_status: Callable[[Status], None] | None = None,
) -> SearchResult:
    """Search for optimizers; everything that is in the store already is reused.

    Args:
        config: What to search, and how; see :func:`evoptim.preset`.
        run: Name of the run: lower-case letters, digits and ``-``.
        store: Folder or ``s3://bucket/prefix``.
        workers: Evaluations at a time; None for one a core. The results do not depend on it.
        containers: Run every step in a container of its own, by Docker; None for processes. The
            results do not depend on it, as long as the image has the same versions.
        on_images: Called with (images read, images to read) while data are decoded.
        on_status: Called before the first step, then about twice a second.

    Raises:
        InputError: the store, the data, the run's name or the containers cannot be used, or
            ``workers`` is below 1; nothing was computed.
        InfrastructureError: a step failed; run it again to continue.
        KeyboardInterrupt: everything was stopped; run it again to continue.
    """
    if workers is not None and workers < 1:
        raise InputError(f"workers must be at least 1, got {workers}: leave it out for one a core")
    opened = open_store(store)
    _contact(opened, run)
    sandbox = None if containers is None else _sandbox(opened, config, containers)
    config = resolve_data(config, on_images)
    check_writable(opened)
    write_config(opened, run, config)
    finished = is_reported(opened, run)
    if not finished:
        _run_pipeline(opened, run, config, workers or cores(), sandbox, on_status)
    summary = load(opened, report_key(run, "summary.json"), Summary)
    page = f"{opened.url}/{report_key(run, 'index.html')}"
    return SearchResult(run, opened.url, summary, page, finished)


def _contact(store: Store, run: str) -> None:
    """Ask the store without writing, so that a search refused for its data leaves nothing there.

    Raises:
        InputError: ``run`` is no name, or the store does not answer.
    """
    try:
        next(iter(store.list(run_prefix(run))), None)
    except InfrastructureError as error:
        # Nothing has run yet: a store that does not answer is as good as a wrong address.
        raise InputError(str(error)) from error


def _sandbox(store: Store, config: RunConfig, containers: Containers) -> Sandbox:
    """What the containers of this search need of this machine: its store and its images.

    Raises:
        InputError: no container could run here.
    """
    from pipelines.containers import check_engine, make_sandbox

    protocols = [config.protocol, *filter(None, [config.initial_protocol])]
    data = [Path(each.task.data).absolute() for each in protocols if each.task.data is not None]
    local = isinstance(store, LocalStore)
    sandbox = make_sandbox(
        containers,
        # Images are decoded before the first container starts.
        readable=[*data, cache_directory().absolute()],
        writable=[Path(store.url)] if local else [],
        networked=not local,
    )
    check_engine(containers)
    return sandbox


def _run_pipeline(
    store: Store,
    run: str,
    config: RunConfig,
    workers: int,
    sandbox: Sandbox | None,
    on_status: Callable[[Status], None] | None,
) -> None:
    from evoptim.container_image import DEFAULT_IMAGE
    from pipelines import compile_search, run_local

    arguments = {
        "store": store.url,
        "run": run,
        "config": config.model_dump_json(),
        "candidates_per_task": _chunk_size(config, workers),
    }
    environment = {
        WORKERS_VARIABLE: str(max(1, workers // _PARALLEL_TASKS)),
        CACHE_VARIABLE: str(cache_directory().absolute()),
    }
    progress = Progress(store, run, config)
    started = time.strftime("%Y%m%dt%H%M%S")
    log = _log_folder() / f"{run}-{started}.log"
    ir = compile_search(config.search.generations, sandbox.image if sandbox else DEFAULT_IMAGE)
    if on_status is not None:
        # Before anything runs, so that whoever interrupts at once still hears what is kept.
        on_status(progress.update())
    with run_local(ir, arguments, log, environment, sandbox) as job:
        try:
            while job.poll() is None:
                time.sleep(_POLL_SECONDS)
                if on_status is not None:
                    on_status(progress.update())
            job.wait()
        finally:
            job.stop()
            _keep_log(store, log_key(run, started), log)
    if not is_reported(store, run):
        # An engine may take a step that failed for one that succeeded. The store cannot.
        raise InfrastructureError(
            f"The pipeline ended without an error, but the report of the run {run!r} is not in "
            f"{store.url}: some step failed unnoticed. Run the same command again to continue "
            f"(log: {log})."
        )
    if on_status is not None:
        on_status(progress.update())


def _log_folder() -> Path:
    folder = cache_directory() / "logs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"logs must have a folder, but {folder} cannot be made: {error.strerror}; set "
            f"{CACHE_VARIABLE} to a folder that can be written"
        ) from error
    return folder


def _chunk_size(config: RunConfig, workers: int) -> int:
    search = config.search
    mutants = search.particles * search.children
    if workers == 1:
        # One chunk a stage, particles that are scored again included.
        finals = config.finals.candidates + len(config.baselines)
        return max(search.initial, mutants + search.particles, finals)
    # As many chunks as tasks that run at once, so that each starts its imports once.
    return math.ceil(mutants / _PARALLEL_TASKS)


def _keep_log(store: Store, key: str, log: Path) -> None:
    # What went wrong before must not be hidden by a store that is gone too.
    with suppress(EvoptimError, OSError):
        store.put(key, log.read_bytes())
