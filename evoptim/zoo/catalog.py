"""The optimizers of the zoo by name."""

from __future__ import annotations

import difflib
from types import MappingProxyType
from typing import Any

from torch import Tensor
from torch.optim.optimizer import ParamsT

from evoptim.errors import InputError
from evoptim.optim import RuleOptimizer
from evoptim.zoo import optimizers

OPTIMIZERS: MappingProxyType[str, type[RuleOptimizer]] = MappingProxyType(
    {
        each.__name__.lower(): each
        for each in (
            optimizers.Opt1,
            optimizers.Opt2,
            optimizers.Opt3,
            optimizers.Opt4,
            optimizers.Opt5,
            optimizers.Opt6,
            optimizers.Opt7,
            optimizers.Opt8,
            optimizers.Opt9,
            optimizers.Opt10,
            optimizers.AdamClip0,
            optimizers.AdamClip1,
            optimizers.AdamClip2,
            optimizers.AdamClip3,
            optimizers.AdamClip4,
            optimizers.PowerSign,
            optimizers.AddSign,
            optimizers.Lion,
            optimizers.Evo1,
            optimizers.Evo2,
        )
    }
)
"""Every class of :mod:`evoptim.zoo.optimizers` by its name in lower case."""


def names() -> tuple[str, ...]:
    """The names that :func:`create` knows."""
    return tuple(OPTIMIZERS)


def create(
    name: str,
    params: ParamsT,
    *,
    lr: float | Tensor,
    total_steps: int | None = None,
    warmup_steps: int = 0,
    hold_steps: int = 0,
    decay: bool = False,
    **options: Any,
) -> RuleOptimizer:
    """The optimizer called ``name``.

    Args:
        name: One of :func:`names`, in any case.
        params: Tensors to optimize, or dicts that define parameter groups.
        lr: Peak learning rate; the class's docstring has a range.
        total_steps: Steps of the training, which schedule and decays span; None leaves the rate
            to an external scheduler.
        warmup_steps: Steps of linear warm-up.
        hold_steps: Steps at the peak rate.
        decay: Whether its decay functions take part.
        options: Further arguments of the class: see :class:`evoptim.optim.RuleOptimizer`.

    Raises:
        InputError: there is no such optimizer, or an argument is out of range.

    Example:
        >>> model = torch.nn.Linear(4, 1)
        >>> optimizer = create("opt6", model.parameters(), lr=0.1, total_steps=100, decay=True)
    """
    found = OPTIMIZERS.get(name.lower()) if isinstance(name, str) else None
    if found is None:
        close = difflib.get_close_matches(str(name).lower(), OPTIMIZERS, n=1)
        meant = f" did you mean {close[0]!r}?" if close else ""
        raise InputError(
            f"the zoo has no optimizer {name!r}:{meant} choose among {', '.join(OPTIMIZERS)}"
        )
    make: Any = found
    created: RuleOptimizer = make(
        params,
        lr=lr,
        total_steps=total_steps,
        warmup_steps=warmup_steps,
        hold_steps=hold_steps,
        decay=decay,
        **options,
    )
    return created
