"""The screens of a run's configuration, as what evaluating asks before it trains."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from evoptim.config import Screens, TrialSpec
from evoptim.genome import Genome
from evoptim.records import Candidate

if TYPE_CHECKING:
    # Every step imports this module, and few of them train.
    from evoptim.training import Screen, Screened


def screen_of(candidate: Candidate, screens: Screens) -> Screen | None:
    """What decides whether a candidate is trained; None for those that are in any case.

    Baselines always are: results are compared with theirs.
    """
    if screens.trial is None or candidate.gene is None:
        return None
    return partial(_try, candidate.gene, screens.trial)


def prepare(screens: Screens) -> None:
    """Load what the screens need, so that the processes of a pool find it in the cache.

    Raises:
        InputError: something is not installed.
    """
    if screens.trial is not None:
        from evoptim.trial import load_digits

        load_digits()


def _try(gene: Mapping[str, Any], spec: TrialSpec) -> Screened:
    from evoptim.training import Screened
    from evoptim.trial import trial

    began = time.thread_time()
    result = trial(Genome.from_json(gene), spec)
    return Screened(
        passes=result.passes,
        message=(
            f"the trial reached a training accuracy of {result.accuracy:.1%} in {result.steps} "
            f"steps, the threshold is {spec.threshold:.1%}"
        ),
        seconds=time.thread_time() - began,
    )
