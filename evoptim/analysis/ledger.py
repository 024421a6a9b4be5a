"""What a run spent, on whom, and what its screens spared it.

Each evaluation counts once, however many candidates share it. Steps are those that the records
hold, hence the same in every repetition of a run; seconds are measured, those of the two phases of
an evaluation shared out by steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from statistics import fmean
from typing import Literal

from evoptim.analysis.flops import step_flops
from evoptim.analysis.stage import Scored, StageResult, evolved, finals
from evoptim.config import Protocol, RunConfig, Value
from evoptim.records import Outcome, Score


class Spent(Value):
    """What some evaluations took."""

    evaluations: int
    rate_steps: int
    """Optimizer steps that chose rates: probes of LR sweeps, and the trainings of a tuning."""
    training_steps: int
    """Optimizer steps of the full trainings that fitness is measured by."""
    rate_seconds: float
    """Core-seconds (or device-seconds) of those, as for full trainings: in proportion to steps."""
    training_seconds: float
    flops: float | None
    """Of all steps (:func:`evoptim.analysis.flops.step_flops`); None where the size of the images
    is not known."""

    @property
    def steps(self) -> int:
        """Optimizer steps of both phases."""
        return self.rate_steps + self.training_steps

    @property
    def seconds(self) -> float:
        """Core-seconds of both phases."""
        return self.rate_seconds + self.training_seconds


class OutcomeSpent(Value):
    """What the genomes took that ended in one way."""

    outcome: Outcome
    spent: Spent


ScreenName = Literal["integrity", "duplicates", "trial", "racing", "hopeless"]


class ScreenSpent(Value):
    """What one screen did."""

    name: ScreenName
    turned_away: int
    """Draws that never became candidates (integrity), candidates that were not trained (duplicates,
    trial), probes that were cut short (racing), trainings that were stopped (hopeless)."""
    seconds: float | None
    """Core-seconds that it took; None where that is not recorded (a fraction of a millisecond to a
    few milliseconds each)."""
    saved_steps: float | None
    """An estimate of the steps that were not taken because of it; None where there is none."""
    saved_seconds: float | None
    """Likewise, in core-seconds; those that it took itself are not taken off."""


class Ledger(Value):
    """The whole account."""

    total: Spent
    """The search and its finals."""
    genomes: Spent
    """The candidates of the search."""
    finals: Spent
    """The best of them once more, and the baselines."""
    outcomes: tuple[OutcomeSpent, ...]
    """The genomes by outcome, those that occurred, in the order of the enumeration."""
    screens: tuple[ScreenSpent, ...]
    """Those that did something."""
    duplicates: int
    """Candidates that share the evaluation of another one; counted with no outcome."""
    missing: int
    """Candidates without a record."""
    devices: tuple[str, ...]
    """Where evaluations were computed, sorted."""
    reused: int | None
    """How many evaluations were found in the store rather than computed by this run."""

    @property
    def core_seconds(self) -> float:
        """All that was measured: sweeps, trainings and screens."""
        return self.total.seconds + math.fsum(each.seconds or 0.0 for each in self.screens)

    def spent_on(self, which: Callable[[Outcome], bool]) -> int:
        """Steps of the genomes that ended in certain ways."""
        return sum(each.spent.steps for each in self.outcomes if which(each.outcome))

    @property
    def waste(self) -> float | None:
        """The share of the genomes' steps that went into those that ended as failed."""
        return self._share(lambda outcome: outcome.failed)

    @property
    def stopped_share(self) -> float | None:
        """The part of :attr:`waste` that went into trainings that a screen stopped early."""
        return self._share(lambda outcome: outcome is Outcome.STOPPED)

    @property
    def waste_text(self) -> str:
        """Both in words, one or two sentences."""
        if self.waste is None or self.stopped_share is None:
            return "No genome was trained, so that nothing was wasted."
        text = (
            f"{self.waste:.1%} of the genomes' optimizer steps went into candidates that ended "
            "without a fitness."
        )
        if self.stopped_share:
            rest = self.waste - self.stopped_share
            text += (
                f" Most of it is what hopeless trainings took until they were stopped: without "
                f"these it is {rest:.1%}."
                if self.stopped_share > rest
                else f" Of this, {self.stopped_share:.1%} are hopeless trainings up to their stop."
            )
        return text

    def _share(self, which: Callable[[Outcome], bool]) -> float | None:
        return self.spent_on(which) / self.genomes.steps if self.genomes.steps else None


Shape = tuple[int, int, int]


def account(
    config: RunConfig,
    stages: Iterable[StageResult],
    shape: Shape | None = None,
    classes: int | None = None,
    reused: int | None = None,
) -> Ledger:
    """Add up what a run's evaluations took.

    Args:
        config: the run's configuration.
        stages: its stages, in any order.
        shape: channels, height and width of its images; None if that is not known.
        classes: how many classes they have; None if that is not known.
        reused: how many evaluations were found in the store; None if that is not known.
    """
    stages = tuple(stages)
    searched, repeated = evolved(stages), finals(stages)
    protocols = {
        each.content_id(): each
        for each in (config.initial_protocol, config.protocol, config.finals_protocol())
        if each
    }
    per_step = _per_step(protocols, config, shape, classes)
    genomes, last = _scores(searched), _scores(repeated)
    return Ledger(
        total=_spent([*genomes, *last], per_step),
        genomes=_spent(genomes, per_step),
        finals=_spent(last, per_step),
        outcomes=tuple(
            OutcomeSpent(outcome=outcome, spent=_spent(ended, per_step))
            for outcome in Outcome
            if (ended := [each for each in genomes if each.outcome is outcome])
        ),
        screens=tuple(
            each
            for each in (
                _integrity(searched),
                _duplicates(searched),
                _trial(genomes),
                _racing([*genomes, *last], protocols),
                _hopeless(genomes, protocols),
            )
            if each.turned_away or each.seconds
        ),
        duplicates=sum(one.candidate.same_as is not None for one in searched),
        missing=sum(one.score is None for one in (*searched, *repeated)),
        devices=tuple(sorted({each.device for each in (*genomes, *last)})),
        reused=reused,
    )


def _scores(of: Iterable[Scored]) -> list[Score]:
    """What was evaluated, each (subject, protocol) once."""
    return list(
        {
            (one.candidate.id, one.protocol): one.score
            for one in of
            if one.score is not None and one.candidate.same_as is None
        }.values()
    )


def _per_step(
    protocols: Mapping[str, Protocol], config: RunConfig, shape: Shape | None, classes: int | None
) -> dict[str, float] | None:
    """FLOPs of a step under each protocol."""
    same_images = all(each.task == config.protocol.task for each in protocols.values())
    if shape is None or classes is None or not same_images:
        return None
    return {key: step_flops(each, shape, classes) for key, each in protocols.items()}


def _spent(scores: Iterable[Score], per_step: Mapping[str, float] | None) -> Spent:
    scores = list(scores)
    known = per_step is not None and all(each.protocol in per_step for each in scores)
    return Spent(
        evaluations=len(scores),
        rate_steps=sum(each.steps - each.training_steps for each in scores),
        training_steps=sum(each.training_steps for each in scores),
        rate_seconds=math.fsum(each.seconds * (1.0 - _trained_share(each)) for each in scores),
        training_seconds=math.fsum(each.seconds * _trained_share(each) for each in scores),
        flops=math.fsum(each.steps * per_step[each.protocol] for each in scores)
        if per_step is not None and known
        else None,
    )


def _trained_share(score: Score) -> float:
    return score.training_steps / score.steps if score.steps else 0.0


def _integrity(searched: Iterable[Scored]) -> ScreenSpent:
    draws = [one.candidate.draws for one in searched if one.candidate.draws is not None]
    return ScreenSpent(
        name="integrity",
        turned_away=sum(draws) - len(draws),
        seconds=None,
        saved_steps=None,
        saved_seconds=None,
    )


def _duplicates(searched: Iterable[Scored]) -> ScreenSpent:
    """What their twins took is what they would have taken."""
    shared = [one for one in searched if one.candidate.same_as is not None]
    scores = [one.score for one in shared if one.score is not None]
    return ScreenSpent(
        name="duplicates",
        turned_away=len(shared),
        seconds=None,
        saved_steps=sum(each.steps for each in scores),
        saved_seconds=math.fsum(each.seconds + each.screening for each in scores),
    )


def _trial(genomes: list[Score]) -> ScreenSpent:
    """Refused genomes would have taken what those took that were trained and failed, on average."""
    refused = sum(each.outcome is Outcome.REFUSED for each in genomes)
    failed = [each for each in genomes if each.outcome.failed and not each.outcome.by_screen]
    return ScreenSpent(
        name="trial",
        turned_away=refused,
        seconds=math.fsum(each.screening for each in genomes),
        saved_steps=refused * fmean(each.steps for each in failed) if failed else None,
        saved_seconds=refused * fmean(each.seconds for each in failed) if failed else None,
    )


def _racing(scores: list[Score], protocols: Mapping[str, Protocol]) -> ScreenSpent:
    """The most that it can be: a probe that was cut short might have ended early by itself."""
    left_out = {}
    for number, each in enumerate(scores):
        sweep = protocols[each.protocol].sweep if each.protocol in protocols else None
        if each.cut_probes and sweep is not None:
            epochs = each.cut_probes * sweep.epochs - each.cut_epochs
            left_out[number] = epochs * sweep.steps_per_epoch
    return ScreenSpent(
        name="racing",
        turned_away=sum(each.cut_probes for each in scores),
        seconds=None,
        saved_steps=sum(left_out.values()),
        saved_seconds=math.fsum(n * _pace(scores[place]) for place, n in left_out.items()),
    )


def _hopeless(genomes: list[Score], protocols: Mapping[str, Protocol]) -> ScreenSpent:
    """The most that it can be, likewise; the seeds that were not tried any more are included."""
    stopped = [each for each in genomes if each.outcome is Outcome.STOPPED]
    left_out = [
        (each, _planned(protocols[each.protocol]) - each.training_steps)
        for each in stopped
        if each.protocol in protocols
    ]
    return ScreenSpent(
        name="hopeless",
        turned_away=len(stopped),
        seconds=None,
        saved_steps=sum(n for _, n in left_out),
        saved_seconds=math.fsum(n * _pace(each) for each, n in left_out),
    )


def _planned(protocol: Protocol) -> int:
    training = protocol.training
    return len(protocol.seeds) * training.epochs * training.steps_per_epoch


def _pace(score: Score) -> float:
    """Seconds of a step."""
    return score.seconds / score.steps if score.steps else 0.0
