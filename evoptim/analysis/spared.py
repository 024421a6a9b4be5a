"""Steps that a run did not take because a rate had fallen behind or a training was hopeless."""

from __future__ import annotations

from collections.abc import Iterable

from evoptim.analysis.stage import StageResult
from evoptim.config import RunConfig, Value
from evoptim.records import Outcome


class Spared(Value):
    """Optimizer steps that were planned and left out, each evaluation counted once.

    They are the most that it can be: what was left out might have ended early by itself.
    """

    racing: int
    """Steps of probes that fell behind, or were the last in their race."""
    stopped: int
    """Evaluations that ended because their training was hopeless."""
    hopeless: int
    """Steps of those trainings, and of the seeds that were not tried after them."""


NOTHING_SPARED = Spared(racing=0, stopped=0, hopeless=0)
"""Of a run that does not race and stops nothing."""


def spared(config: RunConfig, stages: Iterable[StageResult]) -> Spared:
    """Add up what the evaluations of a run left out."""
    protocols = {
        each.content_id(): each for each in (config.initial_protocol, config.protocol) if each
    }
    scores = {
        (one.candidate.id, one.protocol): one.score
        for stage in stages
        for one in stage
        if one.score is not None and one.protocol in protocols
    }
    racing = stopped = hopeless = 0
    for (_, protocol), score in scores.items():
        sweep, training = protocols[protocol].sweep, protocols[protocol].training
        racing += (score.cut_probes * sweep.epochs - score.cut_epochs) * sweep.steps_per_epoch
        if score.outcome is Outcome.STOPPED:
            planned = len(protocols[protocol].seeds) * training.epochs * training.steps_per_epoch
            stopped += 1
            hopeless += planned - score.training_steps
    return Spared(racing=racing, stopped=stopped, hopeless=hopeless)
