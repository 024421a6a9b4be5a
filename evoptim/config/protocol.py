"""How fitness is measured: task, model, LR sweep, training, seeds. All of it is data.

Two evaluations are comparable when, and only when, their protocols have the same
:meth:`~evoptim.config.value.Value.content_id`.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from evoptim.config.value import Value

Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0.0)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
TaskName = Literal["digits", "cifar10", "imagefolder"]
Seed = Annotated[int, Field(ge=0, lt=2**31)]

T = TypeVar("T")


def distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    """``values``; raises ValueError if one is there twice, which would only seem to be more."""
    for place, value in enumerate(values):
        if value in values[:place]:
            raise ValueError(f"{value!r} is there twice: leave one")
    return values


class TaskSpec(Value):
    """The images that networks are trained on, and how they are split."""

    name: TaskName = "digits"
    """``digits``: scikit-learn's bundled 8x8 handwritten digits. ``cifar10``: torchvision's copy,
    or a folder or zip of its images. ``imagefolder``: the user's own folder or zip."""
    data: str | None = None
    """Folder or zip. Its images are ``<class>/*`` or ``train|test/<class>/*``."""
    image_size: Annotated[int, Field(ge=8, le=256)] | None = None
    """Side in pixels to which images are resized; None keeps the size that they have."""
    train: Count | None = None
    """Images to train on; None takes all that are left."""
    validation: Count | None = None
    """Images that fitness is measured on; None takes the task's own default."""
    test: Count | None = None
    """Images kept out of every selection; None takes all of the test part."""
    split_seed: Seed = 0
    """Seed of the shuffle that precedes the split (torchvision's CIFAR-10 is already shuffled)."""
    fingerprint: str | None = None
    """SHA-256 of the decoded images and labels; filled in when the run starts, so that an
    evaluation is reused only for the very same data."""


class ModelSpec(Value):
    """The paper's ConvNet: three 3x3 convolutions of b, 2b and 4b channels."""

    base_width: Annotated[int, Field(ge=1, le=1024)] = 32
    """b: channels of the first convolution."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.2
    """Probability that a feature is dropped before the classifier."""


class ScheduleSpec(Value):
    """The base LR schedule: linear warm-up, hold, cosine to 0."""

    total_steps: Count
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    hold_steps: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _fits(self) -> ScheduleSpec:
        if self.warmup_steps + self.hold_steps >= self.total_steps:
            raise ValueError(
                f"warmup_steps + hold_steps must stay below total_steps, got {self.warmup_steps} + "
                f"{self.hold_steps} >= {self.total_steps}"
            )
        return self


class Racing(Value):
    """Probes of all rates side by side, from which those that fall behind are dropped.

    Nobody is dropped before some rate has reached both bars of the sweep, so that a candidate
    fails in a race if it fails in the paper's sweep (:mod:`evoptim.training.race`).
    """

    margins: Annotated[tuple[Fraction, ...], Field(min_length=1)] = (0.2, 0.2, 0.03)
    """How far behind the leader's training accuracy a rate may lie, in the best of its epochs so
    far: after the first epoch, the second, …; the last margin also holds for all later ones. They
    were chosen for four epochs (``python benchmarks/frugal.py``)."""


class Sweep(Value):
    """Short probes of every rate; the best training accuracy chooses the rate."""

    rates: Annotated[
        tuple[Annotated[tuple[Rate, ...], Field(min_length=1)], ...], Field(min_length=1)
    ]
    """Groups of peak rates, tried in this order; the first of equal ones wins."""
    epochs: Count
    steps_per_epoch: Count
    schedule: ScheduleSpec
    """The schedule that a probe runs under; it may be longer than the probe."""
    give_up_epoch: Count
    """A probe ends after this epoch if its training accuracy is below ``give_up_accuracy``."""
    give_up_accuracy: Fraction
    """Also the bar of the first group: if all of its rates miss it, the sweep ends as failed."""
    minimum_accuracy: Fraction
    """The best probe must reach this training accuracy, or the candidate has failed."""
    racing: Racing | None = None
    """Whether rates that fall behind are dropped; None is the paper's sweep, one rate after the
    other, each to its end."""

    @model_validator(mode="after")
    def _fits(self) -> Sweep:
        steps = self.epochs * self.steps_per_epoch
        if steps > self.schedule.total_steps:
            raise ValueError(
                f"a probe of {self.epochs} x {self.steps_per_epoch} steps does not fit into its "
                f"schedule of {self.schedule.total_steps}: raise schedule.total_steps"
            )
        return self


class Tuning(Value):
    """Full trainings that choose the rate: at the sweep's choice, then beside the best so far.

    A sweep's few steps favour rates lower than those of a full training (Wu et al., "Understanding
    Short-Horizon Bias in Stochastic Meta-Optimization", ICLR 2018), and its rates may lie a decade
    apart; who happens to be at its best on that grid looks better than he is.
    """

    per_decade: Annotated[int, Field(ge=1, le=20)] = 2
    """How many rates there are between one rate and ten times it."""
    rates: Annotated[int, Field(ge=1, le=20)] = 5
    """The most that are tried. It ends earlier when both neighbours of the best one are worse."""
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1), AfterValidator(distinct)] = (201, 202)
    """One training of each rate under each; their mean validation accuracy decides."""


class FullTraining(Value):
    """The training whose best epoch is the fitness."""

    epochs: Count
    steps_per_epoch: Count
    schedule: ScheduleSpec
    give_up_epoch: Count
    """From this epoch on, training ends as soon as its accuracy is below ``give_up_accuracy``."""
    give_up_accuracy: Fraction

    @model_validator(mode="after")
    def _fits(self) -> FullTraining:
        steps = self.epochs * self.steps_per_epoch
        if steps > self.schedule.total_steps:
            raise ValueError(
                f"a training of {self.epochs} x {self.steps_per_epoch} steps does not fit into its "
                f"schedule of {self.schedule.total_steps}: raise schedule.total_steps"
            )
        return self


class Protocol(Value):
    """Everything that decides a fitness, apart from the optimizer."""

    task: TaskSpec = TaskSpec()
    model: ModelSpec = ModelSpec()
    batch_size: Count = 128
    normalisation: Literal["unit", "standard"] = "unit"
    """``unit``: pixels / 255. ``standard``: by the mean and deviation of each channel over the
    training and validation images."""
    augmentation: Literal["none", "crop-flip-cutout"] = "none"
    """``crop-flip-cutout``: reflect-pad by an eighth of the side (4 of 32 pixels), random crop,
    random horizontal flip, one square of a quarter of the side (8 of 32) set to 0."""
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    """What convolutions are computed in. ``tf32`` (10 bits of mantissa, on GPUs that have it;
    float32 elsewhere) and ``bfloat16`` are faster on a GPU; weights stay float32."""
    sweep: Sweep
    tuning: Tuning | None = None
    """Whether full trainings choose the rate anew, beside the sweep's choice; None trains at the
    sweep's."""
    training: FullTraining
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1), AfterValidator(distinct)] = (0,)
    """One full training for each; fitness is their mean. The sweep uses the first."""
    test: bool = False
    """Whether test images are measured, once for each training, at its end. Only the finals of a
    run do: what has not been looked at cannot have been fitted to."""
    timeout_seconds: Annotated[float, Field(gt=0.0)] | None = None
    """Wall-clock limit of one evaluation; None for no limit. A time-out depends on the machine,
    so a run that needs to be reproducible sets none."""

    @property
    def most_steps(self) -> int:
        """Optimizer steps of an evaluation that is never cut short."""
        sweep, training = self.sweep, self.training
        trainings = len(self.seeds)
        if self.tuning is not None:
            trainings += self.tuning.rates * len(self.tuning.seeds)
        return (
            sum(map(len, sweep.rates)) * sweep.epochs * sweep.steps_per_epoch
            + trainings * training.epochs * training.steps_per_epoch
        )

    @model_serializer(mode="wrap")
    def _as_before_tuning(self, dump: SerializerFunctionWrapHandler) -> dict[str, object]:
        # Protocols without it keep the content id that they had before it existed, and with it
        # everything in a store that was measured under them.
        fields: dict[str, object] = dump(self)
        return {name: value for name, value in fields.items() if (name, value) != ("tuning", None)}

    def content_id(self) -> str:
        """As for every value, except that images known by their fingerprint may lie anywhere."""
        if self.task.fingerprint is None or self.task.data is None:
            return super().content_id()
        task = self.task.model_copy(update={"data": None})
        return self.model_copy(update={"task": task}).content_id()
