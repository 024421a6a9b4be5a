"""What a run does next: the store's answer, so that it is the same after every interruption."""

from __future__ import annotations

from typing import Final

from evoptim.steps.missing import unevaluated
from evoptim.steps.reading import first_unselected, is_at_its_end, read_candidates, read_config
from evoptim.steps.report import is_reported
from evoptim.store import Stage, Store, open_store
from evoptim.store.layout import candidates_key

END: Final = "end"
"""What :func:`next_turn` says where no generation follows."""


def next_generation(
    store: str, run: str, patience: int = 0, after: int | None = None
) -> int | None:
    """The next generation that lacks anything; None where the run is at its end.

    A pipeline whose generations are written out goes through all of them, and each step does
    nothing where its output exists. Only those where a step would do something come of this.

    Args:
        store: URL of the store.
        run: Name of the run.
        patience: End the run early when so many generations have not raised the best fitness and
            the next one is not begun; 0 never ends it early.
        after: The generation that was selected just now: what it lacks it may lack, and none
            before it is done again. None starts with the first.

    Raises:
        InputError: there is no such run.
    """
    opened = open_store(store)
    config = read_config(opened, run)
    # A report is never changed: what came after it would not be in it.
    if is_reported(opened, run):
        return None
    first = 0 if after is None else after + 1
    number = first_unselected(opened, run, config, first)
    for selected in range(first, number):
        if _lacks_anything(opened, run, Stage.generation(selected)):
            return selected
    return None if is_at_its_end(opened, run, config, number, patience) else number


def _lacks_anything(store: Store, run: str, stage: Stage) -> bool:
    """Whether somebody removed candidates or evaluations of a generation that was selected."""
    if not store.exists(candidates_key(run, stage)):
        return True
    return bool(unevaluated(store, run, stage, read_candidates(store, run, stage).candidates))


def next_turn(store: str, run: str, patience: int = 0, after: int | None = None) -> str:
    """:func:`next_generation` as workflow engines pass it on: three digits, or :data:`END`."""
    number = next_generation(store, run, patience, after)
    return END if number is None else f"{number:03d}"
