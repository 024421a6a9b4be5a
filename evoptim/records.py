"""What a search leaves behind: candidates, evaluations, populations, the archive.

Every record is immutable JSON in the store. Apart from :attr:`Evaluation.cost`, which is
measured, each is a function of the run's configuration alone.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from sys import intern
from typing import Any, Literal

from pydantic import model_validator

from evoptim.config import JsonObject, Value


class Outcome(str, Enum):
    """How an evaluation ended. A bad candidate is a result, never an error."""

    TRAINED = "trained"
    DIVERGED = "diverged"
    REFUSED = "refused"
    STOPPED = "stopped"
    UNTRAINABLE = "untrainable"
    COLLAPSED = "collapsed"
    TIMED_OUT = "timed-out"
    ERRORED = "errored"
    MISSING = "missing"

    @property
    def failed(self) -> bool:
        """Whether the candidate has no fitness."""
        return self is not Outcome.TRAINED and self is not Outcome.COLLAPSED

    @property
    def by_screen(self) -> bool:
        """Whether a screen ended it: it is the run's own, and others may have trained on."""
        return self in (Outcome.REFUSED, Outcome.STOPPED)

    @property
    def cause(self) -> str:
        """Why an evaluation ends this way, in one sentence."""
        return _CAUSES[self][0]

    @property
    def remedy(self) -> str:
        """What a researcher can do about it, in one sentence."""
        return _CAUSES[self][1]


_CAUSES: dict[Outcome, tuple[str, str]] = {
    Outcome.TRAINED: ("The full training ran to its last epoch.", "None needed."),
    Outcome.DIVERGED: (
        "The loss became NaN or infinite at every rate of the sweep, or before the full training "
        "completed an epoch.",
        "Add smaller rates to the sweep, or bound the update with a clipping operator.",
    ),
    Outcome.REFUSED: (
        "A screen predicted that the candidate would fail, so that it was not trained.",
        "Lower the screen's threshold, or switch it off with --set screens.trial=null.",
    ),
    Outcome.STOPPED: (
        "The full training lay so far below those of the population that it was stopped.",
        "Lower screens.hopeless.margin, or switch the screen off with --set screens.hopeless=null.",
    ),
    Outcome.UNTRAINABLE: (
        "No rate of the sweep reached the minimum training accuracy.",
        "Add rates or probe steps to the sweep, or lower its minimum accuracy.",
    ),
    Outcome.COLLAPSED: (
        "The full training was stopped: its loss became NaN or infinite, or its accuracy fell "
        "below the bar; the best epoch before that counts.",
        "Lower the chosen rate, or the bar of the full training.",
    ),
    Outcome.TIMED_OUT: (
        "The evaluation took longer than the protocol's time limit.",
        "Raise timeout_seconds, or train for fewer steps.",
    ),
    Outcome.ERRORED: (
        "Applying the optimizer raised an error, which the record quotes.",
        "Report it: a legal genome should never do this.",
    ),
    Outcome.MISSING: (
        "No record was found when the generation was selected.",
        "Look for lost machines in the run's log, then run again under another name.",
    ),
}


class Probe(Value):
    """One rate of the LR sweep."""

    rate: float
    """Peak learning rate."""
    accuracies: tuple[float, ...]
    """Training accuracy of each epoch, as fractions; fewer than planned if it was stopped."""
    stopped: Literal["completed", "non-finite", "below-bar", "timed-out", "outpaced", "cut-short"]
    """``outpaced``: it fell behind in a race. ``cut-short``: it was the last one in a race and
    could not lose any more, or the race ended for an error or for lack of time."""

    @property
    def score(self) -> float:
        """The best epoch's training accuracy; 0 if there was none."""
        return max(self.accuracies, default=0.0)


class TunedRate(Value):
    """One rate that was tried by full trainings."""

    rate: float
    """Peak learning rate."""
    accuracies: tuple[float | None, ...]
    """The best epoch's validation accuracy under each of the tuning's seeds; None where no epoch
    was completed."""
    steps: int
    """Optimizer steps of these trainings."""


class Epoch(Value):
    """One row of a learning curve, taken at the end of an epoch."""

    step: int
    """Optimizer steps taken so far."""
    train_loss: float
    """Mean cross-entropy over the epoch's images, in nats, in training mode."""
    train_accuracy: float
    validation_loss: float | None
    """None if it is not finite."""
    validation_accuracy: float


class Training(Value):
    """One full training, under one seed."""

    seed: int
    curve: tuple[Epoch, ...]
    steps: int
    """Optimizer steps that it took, those of an unfinished epoch included."""
    stopped: Literal["completed", "non-finite", "below-bar", "timed-out", "hopeless"]
    best_epoch: int | None
    """Index into ``curve`` of the best validation accuracy (ties: the smaller validation loss,
    then the earlier epoch); None if no epoch was completed."""
    test_loss: float | None
    """Cross-entropy on the test images of the weights of ``best_epoch``. Never used to choose; None
    where the protocol does not measure it, and for :attr:`test_accuracy` alike."""
    test_accuracy: float | None
    """Accuracy on the test images of the weights of ``best_epoch``. Never used to choose."""

    @model_validator(mode="after")
    def _has_best_epoch(self) -> Training:
        if self.best_epoch is not None and not 0 <= self.best_epoch < len(self.curve):
            raise ValueError(
                f"best_epoch must be one of the {len(self.curve)} of the curve, "
                f"got {self.best_epoch}"
            )
        return self


def best_epoch_of(curve: Sequence[Epoch]) -> int:
    """The epoch of highest validation accuracy, then of smallest validation loss; the first one."""

    def rank(index: int) -> tuple[float, float]:
        loss = curve[index].validation_loss
        return curve[index].validation_accuracy, -math.inf if loss is None else -loss

    return max(range(len(curve)), key=rank)


class Cost(Value):
    """What an evaluation took. Measured, so the one part of a record that varies."""

    seconds: float
    """Of the training and what goes with it: core-seconds on a CPU, so that a machine's load does
    not count; wall-clock seconds on a GPU."""
    device: str
    screening: float = 0.0
    """Core-seconds that the run's screens took, apart from ``seconds``."""


class Evaluation(Value):
    """One subject (a genome or a baseline) under one protocol."""

    subject: str
    """Content id of the genome, or the name of the baseline."""
    protocol: str
    """Content id of the protocol."""
    outcome: Outcome
    fitness: float | None
    """Mean over seeds of the best epoch's validation accuracy, a fraction; None if failed."""
    validation_loss: float | None
    """Mean over seeds of the validation loss at those epochs: breaks ties of fitness."""
    test_accuracy: float | None
    """Mean over seeds of the test accuracy at those epochs. Never used to choose; None where the
    protocol does not measure it."""
    rate: float | None
    """The peak rate of the trainings: the sweep's choice, or that of the tuning after it."""
    probes: tuple[Probe, ...]
    """The sweep."""
    tuned: tuple[TunedRate, ...] = ()
    """Rates that full trainings tried after the sweep, its own choice first; empty where the
    protocol leaves it at that."""
    trainings: tuple[Training, ...]
    """Those that the fitness is measured by."""
    steps: int
    """Optimizer steps of all probes and trainings together."""
    message: str | None = None
    """What an errored evaluation raised, or what the screen measured that ended it."""
    versions: dict[str, str]
    """Versions of evoptim, torch and Python that computed it."""
    cost: Cost

    def deterministic(self) -> dict[str, Any]:
        """The record without its measured cost, as JSON values."""
        return self.model_dump(mode="json", exclude={"cost"})


@dataclass(frozen=True, slots=True)
class Score:
    """An evaluation in brief: without probes and learning curves, which are nearly all of it.

    Runs may have 100,000 of them, so this takes half a kilobyte rather than tens.
    """

    subject: str
    protocol: str
    outcome: Outcome
    fitness: float | None
    validation_loss: float | None
    test_accuracy: float | None
    rate: float | None
    steps: int
    message: str | None
    trainings: int
    """How many full trainings there were."""
    training_steps: int
    """Optimizer steps of those; the others are the sweep's."""
    cut_probes: int
    """Probes that a race ended."""
    cut_epochs: int
    """Epochs that those took."""
    seed_validation: tuple[float, ...]
    """Validation accuracy at the best epoch of each training that has one."""
    seed_test: tuple[float, ...]
    """Test accuracy at the same epochs."""
    versions: tuple[tuple[str, str], ...]
    """Packages and their versions."""
    seconds: float
    """Of the training and what goes with it: core-seconds on a CPU, so that a machine's load does
    not count; wall-clock seconds on a GPU."""
    device: str
    screening: float

    @staticmethod
    def of(evaluation: Evaluation) -> Score:
        """What a record says in brief; attributes mean what they mean there."""
        trainings = evaluation.trainings
        cut = [each for each in evaluation.probes if each.stopped in ("outpaced", "cut-short")]
        return Score(
            subject=evaluation.subject,
            protocol=intern(evaluation.protocol),
            outcome=evaluation.outcome,
            fitness=evaluation.fitness,
            validation_loss=evaluation.validation_loss,
            test_accuracy=evaluation.test_accuracy,
            rate=evaluation.rate,
            steps=evaluation.steps,
            message=evaluation.message,
            trainings=len(trainings),
            training_steps=sum(each.steps for each in trainings),
            cut_probes=len(cut),
            cut_epochs=sum(len(each.accuracies) for each in cut),
            seed_validation=tuple(
                each.curve[each.best_epoch].validation_accuracy
                for each in trainings
                if each.best_epoch is not None
            ),
            seed_test=tuple(e.test_accuracy for e in trainings if e.test_accuracy is not None),
            versions=_shared(tuple(evaluation.versions.items())),
            seconds=evaluation.cost.seconds,
            device=intern(evaluation.cost.device),
            screening=evaluation.cost.screening,
        )


@functools.lru_cache(maxsize=64)
def _shared(versions: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """One value in place of as many equal ones as there are records."""
    return versions


class Integrity(Value):
    """What the train-free integrity check said of a candidate."""

    rate: float
    """The first rate at which the sphere's loss fell below the threshold."""
    loss: float
    """The sphere's loss there."""


Role = Literal["initial", "particle", "child", "finalist", "baseline"]


class Place(Value):
    """Where a candidate stands in its run."""

    generation: int
    index: int


class Candidate(Value):
    """One subject that a stage evaluates."""

    index: int
    """Place within its stage, from 0."""
    role: Role
    """``particle``: a parent that is scored again because the protocol has changed. ``finalist``:
    one of the best of the search, measured again at its end."""
    id: str
    """Content id of the gene, or the name of the baseline."""
    formula: str
    """The optimizer as text."""
    gene: JsonObject | None
    """The gene's own JSON; None for a baseline."""
    particle: int | None = None
    """Line of descent; None before selection and for baselines."""
    parent: str | None = None
    """Id of the parent."""
    change: str | None = None
    """The mutation in words."""
    integrity: Integrity | None = None
    draws: int | None = None
    """How many draws it took: those before it were illegal, failed the integrity check, or were
    there already."""
    fingerprint: str | None = None
    """What it computes (:mod:`evoptim.fingerprint`); None where the run looks for no duplicates,
    or where it has none."""
    same_as: str | None = None
    """Id of the first candidate of the run, under the same protocol, that computes the same update
    by another formula. Then this one is not evaluated: that one's evaluation is its own."""
    twin: Place | None = None
    """Where that candidate stands."""

    @model_validator(mode="after")
    def _knows_its_twin(self) -> Candidate:
        if (self.same_as is None) is not (self.twin is None):
            raise ValueError("same_as and twin are given together, or neither")
        return self


class Candidates(Value):
    """All subjects of one stage."""

    protocol: str
    """Content id of the protocol that scores them."""
    candidates: tuple[Candidate, ...]
    bars: tuple[float, ...] = ()
    """What the best validation accuracy of a full training has to reach by the end of each epoch
    but the last, or it is stopped as hopeless; empty where none is."""


class Particle(Value):
    """The present end of one line of descent."""

    particle: int
    id: str
    formula: str
    gene: JsonObject
    fitness: float | None
    """Under the protocol of the generation in which it was chosen; None if it failed."""
    validation_loss: float | None
    generation: int
    """The generation that first evaluated this genome."""
    curve: tuple[float, ...] = ()
    """Where hopeless trainings are stopped: the best validation accuracy up to each epoch of the
    full training under the first seed."""


class Population(Value):
    """What selection leaves for the next generation."""

    generation: int
    particles: tuple[Particle, ...]


class ArchiveEntry(Value):
    """One thing that the run evaluated, with its result."""

    rank: int
    """1 for the best. Entries scored under the run's own protocol come before those that only
    the initial protocol has scored; failed ones come last. In the finals: of the finals."""
    generation: int
    candidate: Candidate
    protocol: str
    outcome: Outcome
    fitness: float | None
    validation_loss: float | None
    test_accuracy: float | None
    rate: float | None
    steps: int


class Archive(Value):
    """Everything that a run ever evaluated, ranked; a function of its configuration alone."""

    run: str
    config: str
    """Content id of the run's configuration."""
    entries: tuple[ArchiveEntry, ...]
    """Every genome, ranked by the search that evolved it."""
    finals: tuple[ArchiveEntry, ...] = ()
    """The best of them and the baselines, ranked by what the finals measured."""
