"""Reads a stage while it is evaluated, so that a selection waits for the last ones alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from evoptim.errors import EvoptimError
from evoptim.records import Candidate, Score
from evoptim.steps.reading import planned_in, read_candidates, read_config
from evoptim.steps.scores import scores_here
from evoptim.steps.waiting import is_proposed
from evoptim.store import Stage, open_store
from evoptim.store.layout import evaluation_key, evaluations_prefix

PAUSE_SECONDS: Final = 2.0
"""Between two looks, at least."""
_REST: Final = 2.0
"""The pause after a look, in times of what it took: most of a core stays free."""


@dataclass
class Ahead:
    """What has been read of a stage. Nothing of it ever changes in the store."""

    candidates: tuple[Candidate, ...] = ()
    """All of them, or none as yet."""
    scores: dict[str, Score] = field(default_factory=dict)
    """What its evaluations say, by key."""


@contextmanager
def read_ahead(store: str, run: str, stage: Stage) -> Iterator[Ahead]:
    """What can be read of a stage by and by, until the block is left.

    Args:
        store: URL of the store.
        run: Name of the run.
        stage: Whose evaluations are read.

    Raises:
        InputError: there is no such run.
    """
    opened = open_store(store)
    planned = planned_in(read_config(opened, run), stage)
    keys = {evaluation_key(run, stage, index) for index in range(planned)}
    ahead = Ahead()
    found = ahead.scores
    over = threading.Event()

    def look() -> None:
        if not ahead.candidates and is_proposed(opened, run, stage):
            ahead.candidates = read_candidates(opened, run, stage).candidates
        there = opened.list(evaluations_prefix(run, stage))
        new = [each for each in there if each in keys and each not in found]
        for key, score in zip(new, scores_here(opened, new), strict=True):
            found[key] = score
            # Others are read again by whoever needs them.
            if over.is_set():
                return

    def read() -> None:
        pause = PAUSE_SECONDS
        while not over.wait(pause):
            began = time.monotonic()
            # What is wrong with the store or an evaluation, the selection will say.
            with suppress(EvoptimError):
                look()
            pause = max(PAUSE_SECONDS, _REST * (time.monotonic() - began))

    reader = threading.Thread(target=read, name="read-ahead", daemon=True)
    reader.start()
    try:
        yield ahead
    finally:
        over.set()
        reader.join()
