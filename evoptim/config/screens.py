"""Which candidates are not trained at all. No part of how fitness is measured."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from evoptim.config.protocol import Fraction
from evoptim.config.value import Value


class TrialSpec(Value):
    """A training of a fraction of a second on a tiny problem; see :mod:`evoptim.trial`."""

    steps: Annotated[int, Field(ge=20, le=10_000, multiple_of=20)] = 300
    """Optimizer steps, at seven rates at once."""
    threshold: Fraction = 0.948
    """Training accuracy that some rate has to reach over 20 steps in a row. It was chosen for the
    default number of steps (``python benchmarks/screens.py``)."""


class Screens(Value):
    """Screens between the integrity check and the training; null or false switches one off."""

    trial: TrialSpec | None = None
    """Refuses candidates that do not learn a tiny problem, which predicts that they would fail."""
    duplicates: bool = False
    """Whether a candidate that computes the same update as an earlier one of the run, by another
    formula, takes that one's evaluation; see :mod:`evoptim.fingerprint`."""
