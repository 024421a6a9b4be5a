"""Images, protocols and optimizers for trainings of a fraction of a second."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim.optimizer import Optimizer

from evoptim.config import FullTraining, ModelSpec, Protocol, ScheduleSpec, Sweep
from evoptim.optim.baselines import make_baseline
from evoptim.tasks import Dataset, Split

CLASSES = 4


def stripes(count: int, seed: int) -> Dataset:
    """8 x 8 images with one bright row that tells the class, under noise."""
    draws = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (count,), generator=draws)
    images = torch.randint(120, (count, 1, 8, 8), generator=draws)
    images[torch.arange(count), 0, 2 * labels] += 120
    return Dataset(images.to(torch.uint8), labels)


def split(train: int = 40, validation: int = 30, test: int = 20) -> Split:
    names = tuple("abcd")
    return Split(names, stripes(train, 0), stripes(validation, 1), stripes(test, 2))


def protocol(**changes: Any) -> Protocol:
    """Two rates of 2 x 6 steps and 3 x 10 steps of full training, with batches of 16."""
    return Protocol(
        model=ModelSpec(base_width=2),
        batch_size=16,
        sweep=sweep(),
        training=training(),
        test=True,
    ).model_copy(update=changes)


def sweep(**changes: Any) -> Sweep:
    return Sweep(
        rates=((0.1, 1.0),),
        epochs=2,
        steps_per_epoch=6,
        schedule=ScheduleSpec(total_steps=12, warmup_steps=2),
        give_up_epoch=2,
        give_up_accuracy=0.0,
        minimum_accuracy=0.0,
    ).model_copy(update=changes)


def training(**changes: Any) -> FullTraining:
    return FullTraining(
        epochs=3,
        steps_per_epoch=10,
        schedule=ScheduleSpec(total_steps=30, warmup_steps=3),
        give_up_epoch=2,
        give_up_accuracy=0.0,
    ).model_copy(update=changes)


def sgd(params: Iterable[nn.Parameter], lr: float, schedule: ScheduleSpec) -> Optimizer:
    return make_baseline("sgd", params, lr, schedule)


class Scripted(torch.optim.SGD):
    """SGD that does something else at the step of that number, from 0."""

    def __init__(self, params: Any, lr: float, at: int, act: Callable[[Scripted], None]) -> None:
        super().__init__(params, lr=lr)
        self._at, self._act, self._taken = at, act, 0

    def step(self, closure: Any = None) -> Any:
        if self._taken == self._at:
            self._act(self)
        self._taken += 1
        return super().step(closure)


def scripted(at: int, act: Callable[[Scripted], None]) -> Callable[..., Optimizer]:
    return lambda params, lr, schedule: Scripted(params, lr, at, act)


def raising(error: BaseException) -> Callable[[Scripted], None]:
    def act(_: Scripted) -> None:
        raise error

    return act


@torch.no_grad()
def negate(optimizer: Scripted) -> None:
    """Turn every weight around."""
    for group in optimizer.param_groups:
        for weight in group["params"]:
            weight.neg_()


@torch.no_grad()
def poison(optimizer: Scripted) -> None:
    """Make every weight NaN."""
    for group in optimizer.param_groups:
        for weight in group["params"]:
            weight.fill_(float("nan"))
