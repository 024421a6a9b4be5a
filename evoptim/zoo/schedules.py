r"""The nine learning-rate schedules that evolved together with the optimizers, for any optimizer.

Each multiplies the base schedule (:mod:`evoptim.schedule`: linear warm-up, hold, half a cosine down
to 0) by a learned function of training progress: with target rate :math:`\hat\eta` and progress
x = t/T,

.. math::
    \eta_0 = 10^{-7}, \qquad \eta_t = \hat\eta \cdot \text{base}_t \cdot f(x_t)

The functions are written over the decay primitives and operators of :mod:`evoptim.decay`, with the
wide form of a14 (``a14w``), D(x) = 1 - tanh²(x) and S(x) = 1/(1+|x|). Source: Morgan & Hougen,
arXiv 2404.06679.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

from torch import Tensor, full_like
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.optimizer import Optimizer

from evoptim.decay import DECAY_OPERATORS, PRIMITIVES
from evoptim.decay.primitives import Progress
from evoptim.errors import InputError
from evoptim.schedule import learning_rate_factor

FIRST_RATE = 1e-7
"""The rate of the first step, whatever the target: absolute, not relative to it."""

Primitives = Callable[[str], Tensor]
"""The values of a decay primitive over all steps, by its name."""

_arctan = DECAY_OPERATORS["arctan"].apply
_deriv_tanh = DECAY_OPERATORS["deriv_tanh"].apply
_erf = DECAY_OPERATORS["erf"].apply
_erfc = DECAY_OPERATORS["erfc"].apply
_max = DECAY_OPERATORS["max"].apply
_one_over_one_plus = DECAY_OPERATORS["deriv_soft"].apply
_sigmoid = DECAY_OPERATORS["sigmoid"].apply
_softsign = DECAY_OPERATORS["softsign"].apply
_sqrt = DECAY_OPERATORS["sqrt_abs"].apply
_square = DECAY_OPERATORS["square"].apply
_tanh = DECAY_OPERATORS["tanh"].apply


@dataclass(frozen=True)
class EvolvedCurve:
    """One row of :data:`CURVES`: a learned factor alone, without base schedule and first rate."""

    kind: int
    formula: str
    """The factor over the primitives, as text."""
    latex: str
    """The same, typeset."""
    factor: Callable[[Primitives], Tensor]

    def values(self, total_steps: int) -> tuple[float, ...]:
        """The factor at t = 0, …, total_steps - 1, in double precision.

        That of kind 7 starts with 1e7, a division by 1e-7; the schedule never uses that value.

        Raises:
            InputError: ``total_steps`` is no whole number of at least 1.
        """
        _check_count("total_steps", total_steps, least=1)
        return _values(self, total_steps)

    # By its kind, because the function in a row has no name to be pickled by.
    def __reduce__(self) -> tuple[Callable[[int], EvolvedCurve], tuple[int]]:
        return _row, (self.kind,)


def _row(kind: int) -> EvolvedCurve:
    return CURVES[kind]


# Few are kept, because the table of a long run is large.
@functools.lru_cache(maxsize=32)
def _values(curve: EvolvedCurve, total_steps: int) -> tuple[float, ...]:
    progress = Progress.over(total_steps)
    return tuple(curve.factor(lambda name: PRIMITIVES[name].value(progress)).tolist())


_ROWS: tuple[EvolvedCurve, ...] = (
    EvolvedCurve(
        0,
        "erfc(erfc(a4)) / D(a8)",
        r"\frac{\operatorname{erfc}(\operatorname{erfc}(a_4))}{D(a_8)}",
        lambda a: _erfc(_erfc(a("a4"))) / _deriv_tanh(a("a8")),
    ),
    EvolvedCurve(
        1,
        "erfc(erfc(a4)) / (D(a8) D(a4))",
        r"\frac{\operatorname{erfc}(\operatorname{erfc}(a_4))}{D(a_8)\, D(a_4)}",
        lambda a: _erfc(_erfc(a("a4"))) / (_deriv_tanh(a("a8")) * _deriv_tanh(a("a4"))),
    ),
    EvolvedCurve(
        2,
        "arctan(a2) / (D(a10) sqrt(S(a14w)))",
        r"\frac{\arctan a_2}{D(a_{10}) \sqrt{S(a_{14w})}}",
        lambda a: _arctan(a("a2")) / (_deriv_tanh(a("a10")) * _sqrt(_one_over_one_plus(a("a14w")))),
    ),
    EvolvedCurve(
        3,
        "sig(a2)² / sig(2 softsign(a1))",
        r"\frac{\sigma(a_2)^2}{\sigma(2 \operatorname{softsign} a_1)}",
        lambda a: _square(_sigmoid(a("a2"))) / _sigmoid(2 * _softsign(a("a1"))),
    ),
    EvolvedCurve(
        4,
        "1 / sqrt(erf(a11))",
        r"\frac{1}{\sqrt{\operatorname{erf} a_{11}}}",
        lambda a: 1 / _sqrt(_erf(a("a11"))),
    ),
    EvolvedCurve(
        5,
        "arctan(a2) erfc(a6) / sqrt(S(a6))",
        r"\frac{\arctan(a_2) \operatorname{erfc}(a_6)}{\sqrt{S(a_6)}}",
        lambda a: _arctan(a("a2")) * _erfc(a("a6")) / _sqrt(_one_over_one_plus(a("a6"))),
    ),
    EvolvedCurve(
        6,
        "1 / sqrt(S(a10))",
        r"\frac{1}{\sqrt{S(a_{10})}}",
        lambda a: 1 / _sqrt(_one_over_one_plus(a("a10"))),
    ),
    EvolvedCurve(
        7,
        "1 / (sqrt(softsign(arctan(a12))) + 1e-7)",
        r"\frac{1}{\sqrt{\operatorname{softsign}(\arctan a_{12})} + 10^{-7}}",
        lambda a: 1 / (_sqrt(_softsign(_arctan(a("a12")))) + 1e-7),
    ),
    EvolvedCurve(
        8,
        "tanh(max(a10, a6))",
        r"\tanh(\max(a_{10}, a_6))",
        lambda a: _tanh(_max(a("a10"), a("a6"))),
    ),
)

CURVES: Mapping[int, EvolvedCurve] = MappingProxyType({row.kind: row for row in _ROWS})
"""The learned factors by kind, 0 to 8."""


def evolved_factors(kind: int, total_steps: int) -> tuple[float, ...]:
    """The learned factor of schedule ``kind`` at t = 0, …, total_steps - 1.

    Without the base schedule and without the rule for the first rate; the factor of kind 0 is the
    one by which Opt4, Opt5 and Opt6 with their decays multiply their rate.

    Raises:
        InputError: there is no schedule of that kind, or ``total_steps`` is no whole number of at
            least 1.
    """
    return CURVES[_known(kind)].values(total_steps)


class EvolvedLR(LRScheduler):
    """What the nine schedules share; use one of :class:`EvolvedLR0` to :class:`EvolvedLR8`.

    Call ``step()`` once after every step of the optimizer. The rate of step t is a closed form of
    t, so a run resumes exactly: from ``state_dict()``, or from ``last_epoch`` alone. Each group's
    target is its ``initial_lr``, which is its ``lr`` where no schedule has set another. A rate that
    is a tensor is filled in place. A group that is added to the optimizer later joins at the next
    ``step()``; its target is the rate that it was added with.

    The published training callback adds 1e-7 to each rate before it hands it over; the rate here is
    the schedule's own. The first rate is 1e-7 whatever the target, also where that is 0.

    An evolved optimizer that has ``total_steps`` of its own applies the base schedule already:
    build it with ``base_schedule=False`` under one of these.

    Args:
        optimizer: Any optimizer of torch's kind.
        total_steps: T, the number of optimizer steps that the schedule spans.
        warmup_steps: Steps of linear warm-up.
        hold_steps: Steps between warm-up and cosine during which the base schedule stays at the
            target.
        last_epoch: Index of the last step taken, where a run goes on; every group then needs its
            ``initial_lr``. -1 starts anew.

    Past ``total_steps`` the last rate holds, with one UserWarning as soon as a step has been taken
    at it.

    Raises:
        InputError: an argument is out of range, or ``last_epoch`` is given and a group lacks its
            ``initial_lr``.
    """

    kind: ClassVar[int]
    """Its number among the nine."""

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        total_steps: int,
        warmup_steps: int = 0,
        hold_steps: int = 0,
        last_epoch: int = -1,
    ) -> None:
        _check_count("total_steps", total_steps, least=1)
        _check_count("warmup_steps", warmup_steps, least=0)
        _check_count("hold_steps", hold_steps, least=0)
        _check_count("last_epoch", last_epoch, least=-1)
        if warmup_steps + hold_steps >= total_steps:
            raise InputError(
                f"warmup_steps + hold_steps must stay below total_steps, got {warmup_steps} + "
                f"{hold_steps} >= {total_steps}"
            )
        if last_epoch >= 0 and isinstance(optimizer, Optimizer):
            _check_targets(optimizer, last_epoch)
        self.total_steps = total_steps
        self.warmup_steps = warmup_steps
        self.hold_steps = hold_steps
        self._warned = False
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float | Tensor]:
        """The rate of every group at the present step.

        Raises:
            InputError: the optimizer has fewer groups than the schedule knows.
        """
        self._meet_new_groups()
        # After the last step of a whole run torch asks for one rate more; that is no excess yet.
        if self.last_epoch > self.total_steps and not self._warned:
            self._warned = True
            warnings.warn(
                f"the schedule spans total_steps={self.total_steps} steps and more are taken: its "
                "last rate holds; build it with more steps, or stop training",
                UserWarning,
                stacklevel=4,
            )
        return self._rates()

    def state_dict(self) -> dict[str, Any]:
        """Everything that :meth:`load_state_dict` needs, as plain data, without the curve."""
        return {**super().state_dict(), "kind": self.kind}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue where :meth:`state_dict` was taken, with its ``total_steps`` and targets.

        Sets the groups' rates too, so that it does not matter whether the optimizer's own state
        is loaded before or after.

        Raises:
            InputError: the state is that of another kind of schedule.
        """
        if state_dict.get("kind") != self.kind:
            held = (
                f"EvolvedLR{state_dict['kind']}" if "kind" in state_dict else "no evolved schedule"
            )
            raise InputError(
                f"the state_dict is that of {held}, this schedule is EvolvedLR{self.kind}: "
                "build the one that was saved"
            )
        super().load_state_dict({key: state_dict[key] for key in state_dict if key != "kind"})
        # Groups that the saved schedule had not met keep the rate that will be their target.
        for group, rate in zip(self.optimizer.param_groups, self._rates(), strict=False):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def _rates(self) -> list[float | Tensor]:
        step = min(self.last_epoch, self.total_steps - 1)
        if step == 0:
            return [
                full_like(target, FIRST_RATE) if isinstance(target, Tensor) else FIRST_RATE
                for target in self.base_lrs
            ]
        base = learning_rate_factor(step, self.total_steps, self.warmup_steps, self.hold_steps)
        factor = base * CURVES[self.kind].values(self.total_steps)[step]
        return [target * factor for target in self.base_lrs]

    def _meet_new_groups(self) -> None:
        groups, targets = self.optimizer.param_groups, list(self.base_lrs)
        if len(groups) < len(targets):
            raise InputError(
                f"the schedule has targets for {len(targets)} parameter groups, the optimizer has "
                f"{len(groups)}: give it the groups that it had"
            )
        for group in groups[len(targets) :]:
            if "initial_lr" not in group:
                group["initial_lr"] = _target(group["lr"], groups, targets)
            targets.append(group["initial_lr"])
        # Never changed in place: a state_dict holds the very list.
        self.base_lrs = targets


class EvolvedLR0(EvolvedLR):
    r"""Rises until half of the run, drops to two fifths and falls; the factor of Opt4 to Opt6.

    .. math::
        \eta_t = \hat\eta \cdot \text{base}_t \cdot
        \frac{\operatorname{erfc}(\operatorname{erfc}(a_4))}{D(a_8)}

    Source: Morgan & Hougen, arXiv 2404.06679. Peak: 0.60 of the target (T = 1000, warm-up 10).
    Past ``total_steps`` the last rate holds, with one warning. Arguments: :class:`EvolvedLR`.
    """

    kind = 0


class EvolvedLR1(EvolvedLR):
    r"""As :class:`EvolvedLR0`, with a plateau after the drop.

    .. math::
        \eta_t = \hat\eta \cdot \text{base}_t \cdot
        \frac{\operatorname{erfc}(\operatorname{erfc}(a_4))}{D(a_8)\, D(a_4)}

    Source: Morgan & Hougen, arXiv 2404.06679. Peak: 0.76 of the target (T = 1000, warm-up 10).
    Past ``total_steps`` the last rate holds, with one warning. Arguments: :class:`EvolvedLR`.
    """

    kind = 1


class EvolvedLR2(EvolvedLR):
    r"""Rises from 0 until half of the run, drops to two fifths and falls.

    .. math::
        \eta_t = \hat\eta \cdot \text{base}_t \cdot
        \frac{\arctan a_2}{D(a_{10}) \sqrt{S(a_{14w})}}

    Source: Morgan & Hougen, arXiv 2404.06679. Peak: 0.77 of the target (T = 1000, warm-up 10).
    Past ``total_steps`` the last rate holds, with one warning. Arguments: :class:`EvolvedLR`.
    """

    kind = 2


class EvolvedLR3(EvolvedLR):
    r"""A hill of little height, flat over the first half of the run.

    .. math::
        \eta_t = \hat\eta \cdot \text{base}_t \cdot
        \frac{\sigma(a_2)^2}{\sigma(2 \operatorname{softsign} a_1)}

    Source: Morgan & Hougen, arXiv 2404.06679. Peak: 0.39 of the target (T = 1000, warm-up 10).
    Past ``total_steps`` the last rate holds, with one warning. Arguments: :class:`EvolvedLR`.
    """

    kind = 3


class EvolvedLR4(EvolvedLR):
    r"""A hill that stands above the target until two thirds of the run.

    .. math::
        \eta_t = \hat\eta \cdot \text{base}_t \cdot \frac{1}{\sqrt{\operatorname{erf} a_{11}}}

    Source: Morgan & Hougen, arXiv 2404.06679. Peak: 1.58 of the target (T = 1000, warm-up 10).
    Past ``total_steps`` the last rate holds, with one warning. Arguments: :class:`EvolvedLR`.
    """

    kind = 4


class EvolvedLR5(EvolvedLR):
    r"""Two low hills, the second half as high as the first.

    .. math::
        \eta_t = \hat\eta \cdot \text{base}_t \cdot
        \frac{\arctan(a_2) \operatorname{erfc}(a_6)}{\sqrt{S(a_6)}}

    Source: Morgan & Hougen, arXiv 2404.06679. Peak: 0.13 of the target (T = 1000, warm-up 10).
    Past ``total_steps`` the last rate holds, with one warning. Arguments: :class:`EvolvedLR`.
    """

    kind = 5


class EvolvedLR6(EvolvedLR):
    r"""The cosine, lifted more and more through each half of the run, with a drop in between.

    .. math::
        \eta_t = \hat\eta \cdot \text{base}_t \cdot \frac{1}{\sqrt{S(a_{10})}}

    Source: Morgan & Hougen, arXiv 2404.06679. Peak: 1.09 of the target (T = 1000, warm-up 10).
    Past ``total_steps`` the last rate holds, with one warning. Arguments: :class:`EvolvedLR`.
    """

    kind = 6


class EvolvedLR7(EvolvedLR):
    r"""A spike at the start, high above the target, then the cosine.

    .. math::
        \eta_t = \hat\eta \cdot \text{base}_t \cdot
        \frac{1}{\sqrt{\operatorname{softsign}(\arctan a_{12})} + 10^{-7}}

    The spike is as high as the warm-up lets it: without one, the second rate of 1000 is 15 times
    the target.

    Source: Morgan & Hougen, arXiv 2404.06679. Peak: 4.82 of the target (T = 1000, warm-up 10).
    Past ``total_steps`` the last rate holds, with one warning. Arguments: :class:`EvolvedLR`.
    """

    kind = 7


class EvolvedLR8(EvolvedLR):
    r"""A hill with its peak at a third of the run.

    .. math::
        \eta_t = \hat\eta \cdot \text{base}_t \cdot \tanh(\max(a_{10}, a_6))

    Source: Morgan & Hougen, arXiv 2404.06679. Peak: 0.49 of the target (T = 1000, warm-up 10).
    Past ``total_steps`` the last rate holds, with one warning. Arguments: :class:`EvolvedLR`.
    """

    kind = 8


SCHEDULES: Mapping[int, type[EvolvedLR]] = MappingProxyType(
    {
        each.kind: each
        for each in (
            EvolvedLR0,
            EvolvedLR1,
            EvolvedLR2,
            EvolvedLR3,
            EvolvedLR4,
            EvolvedLR5,
            EvolvedLR6,
            EvolvedLR7,
            EvolvedLR8,
        )
    }
)
"""The schedules by kind, 0 to 8."""


def schedule(
    kind: int,
    optimizer: Optimizer,
    *,
    total_steps: int,
    warmup_steps: int = 0,
    hold_steps: int = 0,
) -> EvolvedLR:
    """The evolved schedule of that kind over any optimizer.

    Args:
        kind: 0 to 8.
        optimizer: The optimizer whose rates are set; the rate of each group is its target.
        total_steps: Number of optimizer steps that the schedule spans.
        warmup_steps: Steps of linear warm-up.
        hold_steps: Steps between warm-up and cosine.

    Raises:
        InputError: there is no schedule of that kind, or an argument is out of range.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(4, 1)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> rates = schedule(2, optimizer, total_steps=20, warmup_steps=2)
        >>> for _ in range(20):
        ...     optimizer.zero_grad()
        ...     model(torch.ones(8, 4)).square().mean().backward()
        ...     optimizer.step()
        ...     rates.step()
    """
    return SCHEDULES[_known(kind)](
        optimizer, total_steps=total_steps, warmup_steps=warmup_steps, hold_steps=hold_steps
    )


def _known(kind: int) -> int:
    # True would be taken for 1, and a list has no hash to look up.
    if not isinstance(kind, int) or isinstance(kind, bool) or kind not in CURVES:
        raise InputError(
            f"there is no evolved schedule {kind!r}; choose among {', '.join(map(str, CURVES))}"
        )
    return kind


def _check_count(name: str, value: int, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InputError(f"{name} is a whole number of at least {least}, got {value!r}")


def _check_targets(optimizer: Optimizer, last_epoch: int) -> None:
    for index, group in enumerate(optimizer.param_groups):
        if "initial_lr" not in group:
            raise InputError(
                f"last_epoch={last_epoch} goes on with a schedule, but parameter group {index} has "
                "no 'initial_lr': load the optimizer's state_dict first, or leave out last_epoch"
            )


# torch hands one tensor to every group that takes the default rate, so what a new group holds may
# be scaled already; its target is then that of the group it shares the tensor with.
def _target(
    rate: float | Tensor, groups: list[dict[str, Any]], targets: list[float | Tensor]
) -> float | Tensor:
    if not isinstance(rate, Tensor):
        return rate
    shared = (
        target
        for group, target in zip(groups, targets, strict=False)
        if group["lr"] is rate and isinstance(target, Tensor)
    )
    return next(shared, rate).clone()
