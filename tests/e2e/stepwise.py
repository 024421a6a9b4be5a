"""Every step of a tiny search through the command line, one after the other, as engines do."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from small_search import here
from tiny_run import tiny_config

RUN = "tiny"
SIZE = "2"
"""Candidates in a chunk."""

Command = Callable[..., subprocess.CompletedProcess[str]]


class StepFailedError(Exception):
    """A step ended with an error, as often as it was tried."""


@dataclass
class Stepwise:
    """An engine that runs ``evoptim step``; what it met on the way stays for tests to look at."""

    store: str
    folder: Path
    """Where commands run."""
    tries: int = 1
    """How often a step is run before the search is given up."""
    failed: list[subprocess.CompletedProcess[str]] = field(default_factory=list)
    done: int = 0
    """Steps that succeeded."""

    def search(self) -> None:
        """Run all steps; raises StepFailedError at the first that cannot be done."""
        turn = self.step("initialise", "--config", tiny_config().canonical_json())
        while turn.strip() != "end":
            generation = ("--generation", str(int(turn)))
            for chunk in json.loads(self.step("propose", *generation, *_size)):
                self.step("evaluate", *generation, *_size, "--chunk", str(chunk))
            turn = self.step("select", *generation)
        for chunk in json.loads(self.step("propose-finals", *_size)):
            self.step("evaluate-finals", *_size, "--chunk", str(chunk))
        self.step("report")

    def step(self, name: str, *words: str) -> str:
        """Standard output of one step."""
        for _ in range(self.tries):
            command = ("step", name, "--store", self.store, "--run", RUN, *words)
            ended = here(*command, cwd=self.folder)
            if ended.returncode == 0:
                self.done += 1
                return ended.stdout
            self.failed.append(ended)
        raise StepFailedError(ended.stderr)


_size = ("--candidates-per-task", SIZE)


class StoppedClock:
    """In the place of the evaluation's: then two searches differ in nothing."""

    @staticmethod
    def monotonic() -> float:
        return 0.0

    @staticmethod
    def thread_time() -> float:
        return 0.0


def is_whole(key: str, data: bytes) -> bool:
    """Whether a document is one from its beginning to its end, read without evoptim."""
    text = data.decode()
    if key.endswith(".json"):
        try:
            json.loads(text)
        except ValueError:
            return False
        return text.endswith("}\n")
    if key.endswith(".py"):
        compile(text, key, "exec")
        return text.endswith("\n")
    return text.rstrip().endswith("</html>")
