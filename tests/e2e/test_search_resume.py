"""Killed, interrupted or out of space at any moment: it goes on where it was, to the same end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import pytest
from small_search import PLANNED, RUN, Finished, arguments, command, evoptim, lines, records

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it looks into /proc"),
]

_MARK = "EVOPTIM_TESTS_MARK"

VICTIMS = {
    "the command": re.compile(r"evoptim\.cli import main"),
    "the engine": re.compile(r"-m pipelines\.local_engine"),
    "a task": re.compile(r"-m kfp\.dsl\.executor_main"),
    "a worker": re.compile(r"multiprocessing\.spawn"),
}


class Search:
    """A search at work; every process of it is known by a mark in its environment."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder = folder
        self.mark = uuid.uuid4().hex
        self.process = subprocess.Popen(
            command(*arguments(), "--workers", "4", *words),
            cwd=folder,
            env={**os.environ, _MARK: self.mark},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def members(self) -> dict[int, str]:
        """The command lines of all its processes that are at work, by number."""
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            # Processes come and go while we look.
            with suppress(OSError):
                if self.mark.encode() in (path / "environ").read_bytes():
                    text = (path / "cmdline").read_bytes().replace(b"\0", b" ")
                    found[int(path.name)] = text.decode(errors="replace")
        return found

    def find(self, victim: str) -> list[int]:
        # Some are started through a shell, whose command line holds the same words.
        return [
            number
            for number, text in self.members().items()
            if VICTIMS[victim].search(text) and not text.startswith(("sh ", "/bin/sh "))
        ]

    def evaluations(self) -> int:
        run = self.folder / "evoptim-store/runs" / RUN
        return len(list(run.rglob("evaluations/*.json")))

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Wait for what must come before the end."""
        while not condition():
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.02)

    def end(self) -> tuple[int, str]:
        """Wait for its end; returns its status and standard error."""
        _, errors = self.process.communicate(timeout=120)
        return self.process.returncode, errors

    def assert_nothing_is_left(self) -> None:
        # The limit only keeps a failing test from hanging.
        deadline = time.monotonic() + 30
        while self.members():
            assert time.monotonic() < deadline, self.members()
            time.sleep(0.05)


@contextmanager
def searching(folder: Path, *words: str) -> Iterator[Search]:
    search = Search(folder, *words)
    try:
        yield search
    finally:
        for number in search.members():
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        search.process.communicate()


def finish(folder: Path, searched: Finished) -> None:
    """Run to the end what was stopped, and compare it with a run that nobody stopped."""
    done = evoptim(*arguments(), cwd=folder)
    assert done.returncode == 0, done.stderr
    assert records(folder / "evoptim-store") == records(searched.store)


def test_killed_at_five_random_moments_it_leaves_the_same_records(
    searched: Finished, tmp_path: Path
) -> None:
    rng = Random(2026)
    victims = [*VICTIMS, "the command"]
    rng.shuffle(victims)
    # A pool of workers is there only while something is left to train.
    moments = sorted(rng.sample(range(PLANNED - 2), len(victims)))
    for victim, moment in zip(victims, moments, strict=True):
        with searching(tmp_path) as search:
            search.wait_for(lambda moment=moment, search=search: search.evaluations() >= moment)
            time.sleep(rng.uniform(0, 1))
            search.wait_for(lambda victim=victim, search=search: search.find(victim))
            with suppress(ProcessLookupError):
                os.kill(rng.choice(search.find(victim)), signal.SIGKILL)
            status, errors = search.end()
            search.assert_nothing_is_left()
            if victim == "the command":
                assert status == -signal.SIGKILL
                continue
            assert status == 1, (victim, errors)
            # Lines before the last are progress.
            assert lines(errors)[-1].startswith("error: "), (victim, errors)
            assert "Traceback" not in errors
    finish(tmp_path, searched)


def test_an_interrupt_stops_everything_and_says_how_to_continue(
    searched: Finished, tmp_path: Path
) -> None:
    for moment, number in ((0, signal.SIGINT), (2, signal.SIGTERM), (6, signal.SIGINT)):
        with searching(tmp_path) as search:
            search.wait_for(lambda moment=moment, search=search: search.evaluations() >= moment)
            search.wait_for(lambda search=search: search.find("a task"))
            # As a terminal does: to the whole foreground group, which the run is not part of.
            os.killpg(search.process.pid, number)
            status, errors = search.end()
            assert search.members() == {}
            assert status == 130
            assert re.search(rf"\d+ of {PLANNED} evaluations are kept\.", errors)
            assert "Run the same command again to continue." in errors
            assert "Traceback" not in errors
    finish(tmp_path, searched)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk on which a search has no room."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system needs root")
    yield path
    subprocess.run(["umount", str(path)], check=True)


def test_a_full_disk_loses_nothing(searched: Finished, tmp_path: Path, small_disk: Path) -> None:
    folder = small_disk / "folder"
    folder.mkdir()
    full = evoptim(*arguments(), cwd=folder)
    assert full.returncode == 1, full.stderr
    (line,) = [line for line in lines(full.stderr) if line.startswith("error: ")]
    assert "No space left on device" in line
    assert "run the same command again" in line
    assert "Traceback" not in full.stderr
    kept = records(folder / "evoptim-store")
    subprocess.run(["mount", "-o", "remount,size=32m", str(small_disk)], check=True)
    finish(folder, searched)
    assert kept.items() <= records(folder / "evoptim-store").items()
