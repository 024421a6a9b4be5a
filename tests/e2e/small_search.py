"""A whole search in seconds: through the command line, or step by step in this process."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from evoptim import steps
from evoptim.cli import main
from evoptim.config import RunConfig
from evoptim.config.reading import parse_setting, read_config
from evoptim.store import open_store

RUN = "small"
BASELINES = ("adam", "sgd")
GENERATIONS = 2
FINALISTS = 2
PLANNED = 6 + GENERATIONS * 2 * 2 + FINALISTS + len(BASELINES)
SETTINGS = (
    "search.initial=6",
    "search.particles=2",
    "search.children=2",
    f"search.generations={GENERATIONS}",
    "baselines=[sgd, adam]",
    f"finals.candidates={FINALISTS}",
    "finals.seeds=[101]",
    "finals.tuning={rates: 2, seeds: [201]}",
    "screens.trial=null",
    "screens.duplicates=false",
    "protocol.task.train=200",
    "protocol.task.validation=100",
    "protocol.task.test=100",
    "protocol.model.base_width=2",
    "protocol.sweep.rates=[[0.1, 0.001]]",
    "protocol.sweep.epochs=2",
    "protocol.sweep.steps_per_epoch=4",
    "protocol.sweep.schedule={total_steps: 8, warmup_steps: 1}",
    "protocol.sweep.give_up_epoch=2",
    "protocol.sweep.give_up_accuracy=0.0",
    "protocol.sweep.minimum_accuracy=0.05",
    "protocol.training={epochs: 3, steps_per_epoch: 5, schedule: {total_steps: 15, "
    "warmup_steps: 2}, give_up_epoch: 3, give_up_accuracy: 0.0}",
)


@dataclass(frozen=True)
class Finished:
    """A search that ran to its end in its folder."""

    folder: Path
    output: str
    """What it printed on standard output, a pipe."""
    screen: str = ""
    """What it printed on standard error, a terminal; with all of a terminal's escapes."""

    @property
    def store(self) -> Path:
        return self.folder / "evoptim-store"

    @property
    def run(self) -> Path:
        return self.store / "runs" / RUN


def arguments(*settings: str, run: str = RUN) -> list[str]:
    """``evoptim search`` with the small configuration, changed by ``settings``."""
    pairs = [part for setting in (*SETTINGS, *settings) for part in ("--set", setting)]
    return ["search", "--run", run, *pairs]


def small_config(*settings: str) -> RunConfig:
    """The same configuration as a value."""
    return read_config(settings=dict(map(parse_setting, (*SETTINGS, *settings))))


def command(*words: str) -> list[str]:
    """``evoptim`` in this interpreter."""
    return [sys.executable, "-c", "from evoptim.cli import main; main()", *words]


def evoptim(*words: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run ``evoptim`` as a process of its own, with pipes, to its end."""
    return subprocess.run(
        command(*words),
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def on_a_terminal(*words: str, cwd: Path) -> tuple[subprocess.CompletedProcess[str], str]:
    """Run ``evoptim`` with standard error on a terminal; returns what that has shown as well."""
    ours, theirs = pty.openpty()
    shown: list[bytes] = []

    def watch() -> None:
        # Linux reports the end of a terminal as an input error.
        with contextlib.suppress(OSError):
            while data := os.read(ours, 65536):
                shown.append(data)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        done = subprocess.run(
            command(*words),
            cwd=cwd,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=theirs,
            text=True,
            check=False,
            timeout=600,
        )
    finally:
        os.close(theirs)
        watcher.join()
        os.close(ours)
    return done, b"".join(shown).decode()


def here(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run ``evoptim`` in this process, which has its imports behind it."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    before, handler = Path.cwd(), signal.getsignal(signal.SIGTERM)
    os.chdir(cwd)
    status: Any = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main(list(words), prog_name="evoptim")
    except SystemExit as end:
        status = end.code
    finally:
        os.chdir(before)
        signal.signal(signal.SIGTERM, handler)
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())  # type: ignore[attr-defined]
    return subprocess.CompletedProcess(list(words), int(status or 0), *texts)


def search_by_steps(
    store: str,
    config: RunConfig | str,
    run: str = RUN,
    size: int = 3,
    between: Callable[[], None] = lambda: None,
) -> None:
    """All steps of a search in this process; chunks in an order that only ``size`` decides."""
    text = config if isinstance(config, str) else config.model_dump_json()
    shuffle = Random(size).shuffle
    steps.initialise(store, run, text)
    for generation in range(json.loads(text)["search"]["generations"] + 1):
        chunks = steps.propose(store, run, generation, size)
        shuffle(chunks)
        for chunk in chunks:
            steps.evaluate(store, run, generation, chunk, size)
            between()
        steps.select(store, run, generation)
    chunks = steps.propose_finals(store, run, size)
    shuffle(chunks)
    for chunk in chunks:
        steps.evaluate_finals(store, run, chunk, size)
    steps.report(store, run)


def records(store: Path | str, run: str = RUN) -> dict[str, Any]:
    """All that is a function of the configuration, by key: as bytes, evaluations without cost."""
    found: dict[str, Any] = {}
    for key, data in objects(store, f"runs/{run}/"):
        name = key.removeprefix(f"runs/{run}/")
        if "evaluations/" in name:
            value = json.loads(data)
            del value["cost"]
            found[name] = value
        elif name.endswith(("candidates.json", "population.json", "archive.json", "config.json")):
            found[name] = data
    return found


def objects(store: Path | str, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    opened = open_store(str(store))
    for key in opened.list(prefix):
        yield key, opened.get(key)


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file under ``folder`` with its time of change."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def lines(text: str) -> list[str]:
    return text.strip().splitlines()
