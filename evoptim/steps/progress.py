"""What a run does next: the store's answer, so that it is the same after every interruption."""

from __future__ import annotations

from typing import Final

from evoptim.steps.reading import open_generation, read_config
from evoptim.steps.report import is_reported
from evoptim.store import open_store

END: Final = "end"
"""What :func:`next_turn` says where no generation follows."""


def next_generation(store: str, run: str, patience: int = 0) -> int | None:
    """The first generation that is not selected yet; None where the run is at its end.

    Args:
        store: URL of the store.
        run: Name of the run.
        patience: End the run early when so many generations have not raised the best fitness and
            the next one is not begun; 0 never ends it early.

    Raises:
        InputError: there is no such run.
    """
    opened = open_store(store)
    config = read_config(opened, run)
    # A report is never changed: what came after it would not be in it.
    if is_reported(opened, run):
        return None
    return open_generation(opened, run, config, patience)


def next_turn(store: str, run: str, patience: int = 0) -> str:
    """:func:`next_generation` as workflow engines pass it on: three digits, or :data:`END`."""
    number = next_generation(store, run, patience)
    return END if number is None else f"{number:03d}"
