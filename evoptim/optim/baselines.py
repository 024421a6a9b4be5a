"""The optimizers that evolved ones are measured by, from ``torch.optim``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from torch import optim
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.optimizer import Optimizer, ParamsT

from evoptim.config import BaselineName, ScheduleSpec
from evoptim.errors import InputError
from evoptim.schedule import learning_rate_factor


@dataclass(frozen=True)
class Baseline:
    """One row of the table."""

    name: BaselineName
    label: str
    """What it is called in text and figures."""
    formula: str
    """The update, as text: gradient g, weight w, rate η, state m and v, corrected m̂ and v̂."""
    latex: str
    """The same, typeset."""
    build: Callable[..., Optimizer]
    """The class of ``torch.optim``."""
    hyperparameters: Mapping[str, float | bool] = field(default_factory=dict)
    """Its arguments, apart from the rate."""


_ADAM = r"w \leftarrow w - \eta\, \hat m / (\sqrt{\hat v} + 10^{-8})"

BASELINES: Mapping[str, Baseline] = MappingProxyType(
    {
        row.name: row
        for row in (
            Baseline(
                name="sgd",
                label="SGD",
                formula="w ← w - η g",
                latex=r"w \leftarrow w - \eta\, g",
                build=optim.SGD,
            ),
            Baseline(
                name="momentum",
                label="Momentum",
                formula="m ← 0.9 m + g; w ← w - η m",
                latex=r"m \leftarrow 0.9\, m + g;\; w \leftarrow w - \eta\, m",
                build=optim.SGD,
                hyperparameters=MappingProxyType({"momentum": 0.9}),
            ),
            Baseline(
                name="nesterov",
                label="Nesterov",
                formula="m ← 0.9 m + g; w ← w - η (g + 0.9 m)",
                latex=r"m \leftarrow 0.9\, m + g;\; w \leftarrow w - \eta\, (g + 0.9\, m)",
                build=optim.SGD,
                hyperparameters=MappingProxyType({"momentum": 0.9, "nesterov": True}),
            ),
            Baseline(
                name="rmsprop",
                label="RMSProp",
                formula="v ← 0.99 v + 0.01 g²; w ← w - η g / (√v + 1e-8)",
                latex=r"v \leftarrow 0.99\, v + 0.01\, g^2;\; "
                r"w \leftarrow w - \eta\, g / (\sqrt{v} + 10^{-8})",
                build=optim.RMSprop,
                hyperparameters=MappingProxyType({"alpha": 0.99, "eps": 1e-8}),
            ),
            Baseline(
                name="adam",
                label="Adam",
                formula="w ← w - η m̂ / (√v̂ + 1e-8), averages of 0.9 and 0.999",
                latex=_ADAM,
                build=optim.Adam,
                hyperparameters=MappingProxyType({"eps": 1e-8}),
            ),
            Baseline(
                name="adamw",
                label="AdamW",
                formula="w ← (1 - 0.01 η) w - η m̂ / (√v̂ + 1e-8), averages of 0.9 and 0.999",
                latex=_ADAM.replace("w - ", r"(1 - 0.01\, \eta)\, w - "),
                build=optim.AdamW,
                hyperparameters=MappingProxyType({"eps": 1e-8, "weight_decay": 0.01}),
            ),
        )
    }
)
"""SGD, momentum, Nesterov, RMSProp, Adam and AdamW by name, each with torch's defaults and momentum
0.9. None but AdamW decays weights."""


def make_baseline(name: str, params: ParamsT, lr: float, schedule: ScheduleSpec) -> Optimizer:
    """A baseline whose ``step()`` follows the base schedule, as that of an evolved optimizer does.

    Args:
        name: key of :data:`BASELINES`.
        params: tensors to optimize.
        lr: peak learning rate.
        schedule: warm-up (from rate 0 at the first step), hold and cosine.

    Raises:
        InputError: there is no baseline of that name.
    """
    if name not in BASELINES:
        raise InputError(f"there is no baseline {name!r}; choose among {', '.join(BASELINES)}")
    row = BASELINES[name]
    optimizer = row.build(params, lr=lr, **row.hyperparameters)
    scheduler = LambdaLR(optimizer, lambda step: _factor(step, schedule))
    optimizer.register_step_post_hook(lambda *_: scheduler.step())
    return optimizer


def _factor(step: int, schedule: ScheduleSpec) -> float:
    return learning_rate_factor(
        # torch asks for one rate more than there are steps.
        min(step, schedule.total_steps),
        schedule.total_steps,
        schedule.warmup_steps,
        schedule.hold_steps,
    )
