"""Named, whole configurations: functions of nothing, so that none can be changed by accident."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from evoptim.config.finals import FinalsSpec
from evoptim.config.protocol import (
    FullTraining,
    ModelSpec,
    Protocol,
    Racing,
    ScheduleSpec,
    Sweep,
    TaskName,
    TaskSpec,
)
from evoptim.config.run import RunConfig, SearchSpec
from evoptim.config.screens import Hopeless, Screens, TrialSpec
from evoptim.errors import InputError

PAPER_RATES = ((10.0, 1e-2, 1e-5), (1.0, 0.1, 1e-3, 1e-4))


def paper_init_protocol(task: TaskName = "cifar10") -> Protocol:
    """The paper's fitness of the initial population."""
    schedule = ScheduleSpec(total_steps=8_000, warmup_steps=800)
    return Protocol(
        task=_paper_task(task),
        model=ModelSpec(base_width=32),
        normalisation="unit",
        augmentation="none",
        sweep=_paper_sweep(schedule),
        training=FullTraining(
            epochs=40, steps_per_epoch=200, schedule=schedule, give_up_epoch=5, give_up_accuracy=0.4
        ),
    )


def paper_evolution_protocol(task: TaskName = "cifar10") -> Protocol:
    """The paper's fitness of particles and children."""
    schedule = ScheduleSpec(total_steps=16_000, warmup_steps=800)
    return Protocol(
        task=_paper_task(task),
        model=ModelSpec(base_width=48),
        normalisation="standard",
        augmentation="crop-flip-cutout",
        sweep=_paper_sweep(schedule),
        training=FullTraining(
            epochs=40, steps_per_epoch=400, schedule=schedule, give_up_epoch=5, give_up_accuracy=0.4
        ),
    )


def _paper_task(task: TaskName) -> TaskSpec:
    return TaskSpec(name=task, validation=5_000 if task == "cifar10" else None)


def _paper_sweep(schedule: ScheduleSpec) -> Sweep:
    return Sweep(
        rates=PAPER_RATES,
        epochs=4,
        steps_per_epoch=200,
        schedule=schedule,
        give_up_epoch=3,
        give_up_accuracy=0.25,
        minimum_accuracy=0.4,
    )


def quickstart_protocol(task: TaskName = "digits") -> Protocol:
    """Seconds on one core: a narrow ConvNet, probes under a schedule of their own."""
    return _digits_protocol() if task == "digits" else _small_images_protocol(task)


def _digits_protocol() -> Protocol:
    # Few images to train on, or every optimizer that works at all would reach 98 %; most of the
    # others validate, so that few candidates tie. Two seeds halve the variance of chance.
    return Protocol(
        task=TaskSpec(name="digits", train=250, validation=1_000, test=547),
        model=ModelSpec(base_width=8),
        batch_size=32,
        sweep=Sweep(
            rates=PAPER_RATES,
            epochs=4,
            steps_per_epoch=15,
            schedule=ScheduleSpec(total_steps=60, warmup_steps=6),
            give_up_epoch=3,
            give_up_accuracy=0.2,
            minimum_accuracy=0.3,
            racing=Racing(),
        ),
        training=FullTraining(
            epochs=16,
            steps_per_epoch=25,
            schedule=ScheduleSpec(total_steps=400, warmup_steps=40),
            give_up_epoch=5,
            give_up_accuracy=0.3,
        ),
        seeds=(0, 1),
    )


def _small_images_protocol(task: TaskName) -> Protocol:
    # Colour photographs are harder than digits: more images and lower bars, but still seconds.
    return Protocol(
        task=TaskSpec(name=task, image_size=16, train=4_000, validation=1_000, test=1_000),
        model=ModelSpec(base_width=8),
        batch_size=64,
        normalisation="standard",
        sweep=Sweep(
            rates=PAPER_RATES,
            epochs=4,
            steps_per_epoch=12,
            schedule=ScheduleSpec(total_steps=48, warmup_steps=6),
            give_up_epoch=3,
            give_up_accuracy=0.12,
            minimum_accuracy=0.15,
            # Probes learn less here, so that rates differ by less.
            racing=Racing(margins=(0.03, 0.03, 0.03)),
        ),
        training=FullTraining(
            epochs=8,
            steps_per_epoch=50,
            schedule=ScheduleSpec(total_steps=400, warmup_steps=40),
            give_up_epoch=4,
            give_up_accuracy=0.15,
        ),
    )


def quickstart(task: TaskName = "digits") -> RunConfig:
    """Minutes on two cores: what ``make search`` runs."""
    return RunConfig(
        search=SearchSpec(initial=32, particles=4, children=4, generations=5),
        protocol=quickstart_protocol(task),
        screens=Screens(trial=TrialSpec(), duplicates=True, hopeless=Hopeless()),
    )


def paper(task: TaskName = "cifar10") -> RunConfig:
    """The paper's search: some 2,300 evaluations and over 100 GPU-hours in the original."""
    return RunConfig(
        search=SearchSpec(initial=500, particles=50, children=7, generations=5),
        initial_protocol=paper_init_protocol(task),
        protocol=paper_evolution_protocol(task),
        finals=FinalsSpec(candidates=10),
    )


def paper_init(task: TaskName = "cifar10") -> RunConfig:
    """The paper's search, scored throughout by its cheaper, initial fitness."""
    return paper(task).model_copy(
        update={"initial_protocol": None, "protocol": paper_init_protocol(task)}
    )


def paper_evolution(task: TaskName = "cifar10") -> RunConfig:
    """The paper's search, scored throughout by its evolution fitness."""
    return paper(task).model_copy(update={"initial_protocol": None})


PRESETS: MappingProxyType[str, Callable[..., RunConfig]] = MappingProxyType(
    {
        "quickstart": quickstart,
        "paper": paper,
        "paper-init": paper_init,
        "paper-evolution": paper_evolution,
    }
)
"""Whole configurations by name."""

PROTOCOLS: MappingProxyType[str, Callable[..., Protocol]] = MappingProxyType(
    {
        "quickstart": quickstart_protocol,
        "paper-init": paper_init_protocol,
        "paper-evolution": paper_evolution_protocol,
    }
)
"""Protocols by name."""


def preset(name: str, task: TaskName | None = None) -> RunConfig:
    """The configuration called ``name``, fitted to ``task`` (None: the preset's own).

    Raises:
        InputError: there is none of that name.
    """
    if name not in PRESETS:
        raise InputError(f"there is no preset {name!r}; choose among {', '.join(PRESETS)}")
    return PRESETS[name]() if task is None else PRESETS[name](task)
