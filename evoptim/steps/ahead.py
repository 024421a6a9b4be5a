"""Reads evaluations while others are made, so that a selection waits for the last ones alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final

from evoptim.errors import EvoptimError
from evoptim.records import Score
from evoptim.steps.reading import planned_in, read_config
from evoptim.steps.scores import scores_here
from evoptim.store import Stage, open_store
from evoptim.store.layout import evaluation_key, evaluations_prefix

PAUSE_SECONDS: Final = 2.0
"""Between two looks, at least."""
_REST: Final = 2.0
"""The pause after a look, in times of what it took: most of a core stays free."""


@contextmanager
def read_ahead(store: str, run: str, stage: Stage) -> Iterator[Mapping[str, Score]]:
    """What the evaluations of a stage say, by key; more of it comes until the block is left.

    An evaluation never changes, so that what is read here is what a selection would read.

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
    found: dict[str, Score] = {}
    over = threading.Event()

    def look() -> None:
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
        yield found
    finally:
        over.set()
        reader.join()
