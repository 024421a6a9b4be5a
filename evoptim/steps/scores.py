"""What many evaluations say, read on every core."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Final

from evoptim.records import Evaluation, Score
from evoptim.steps.processes import cores, in_order
from evoptim.store import Store, load, open_store, read_many

_MANY: Final = 5_000
"""Fewer are read in this process: to start others would take as long."""
_BATCH: Final = 250


def scores_of(store: Store, keys: Sequence[str]) -> Iterator[Score]:
    """The score of the evaluation under every key, in the order of keys.

    A read from S3 takes one millisecond of a core: threads share one, processes have their own.
    """
    if len(keys) < _MANY or cores() == 1:
        return scores_here(store, keys)
    batches = [keys[begin : begin + _BATCH] for begin in range(0, len(keys), _BATCH)]
    what = f"batches of {_BATCH} evaluations read"
    read = in_order(partial(_reopened, store.url), batches, what, least=1, at_a_time=1)
    return chain.from_iterable(read)


def scores_here(store: Store, keys: Sequence[str]) -> Iterator[Score]:
    """As :func:`scores_of`, in the memory of this process alone."""
    return read_many(lambda key: Score.of(load(store, key, Evaluation)), keys)


def _reopened(url: str, keys: Sequence[str]) -> list[Score]:
    return list(scores_here(_opened(url), keys))


_opened = functools.lru_cache(maxsize=1)(open_store)
