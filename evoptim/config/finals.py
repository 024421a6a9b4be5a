"""How the best of a search are measured once more, apart from the search that chose them."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from evoptim.config.protocol import Seed, Tuning, distinct
from evoptim.config.value import Value

MAX_FINALISTS = 50
"""More would be another search."""


class FinalsSpec(Value):
    """The finals: the best of the search and all baselines under seeds that chose nothing.

    The best of many measurements is partly the luckiest, so that its fitness in the search is too
    high. Only measured again is it worth comparing.
    """

    candidates: Annotated[int, Field(ge=1, le=MAX_FINALISTS)] = 3
    """Evolved optimizers that take part: the best of the search, or fewer if fewer trained."""
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1), AfterValidator(distinct)] = (
        *(101, 102, 103, 104, 105),
    )
    """In place of the protocol's seeds, and none of those; several, or there are no intervals."""
    tuning: Tuning | None = Tuning()
    """How everybody's rate is chosen after the sweep, under seeds of its own; None: by the sweep
    alone, whose rates lie far apart."""
