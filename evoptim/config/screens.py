"""Which candidates are not trained, or not to the end. No part of how fitness is measured."""

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


class Hopeless(Value):
    """Stops the full training of a child that lies far below the population's learning curves.

    The curves are those that the particles of the generation before had under the first seed: the
    best validation accuracy up to each epoch. Baselines and generation 0 are always trained.
    """

    margin: Fraction = 0.7
    """Share of the population's accuracy at the same epoch that a training has to reach. The
    default was chosen by ``python benchmarks/frugal.py``."""
    quantile: Fraction = 0.0
    """Whose accuracy that is: 0 the worst particle's, 0.5 the median, 1 the best one's."""
    grace: Fraction = 0.25
    """Share of the epochs that has to be over before a training may be stopped: in the first ones
    the averages of batch normalisation have not settled, and validation says little."""


class Screens(Value):
    """What ends evaluations early, after the integrity check; each is switched off by null or
    false.
    """

    trial: TrialSpec | None = None
    """Refuses candidates that do not learn a tiny problem, which predicts that they would fail."""
    duplicates: bool = False
    """Whether a candidate that computes the same update as an earlier one of the run, by another
    formula, takes that one's evaluation; see :mod:`evoptim.fingerprint`."""
    hopeless: Hopeless | None = None
    """Stops full trainings that fall far behind those of the population."""
