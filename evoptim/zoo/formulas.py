"""Update rules of the zoo that no genome of the search space expresses, and why.

* Opt1 and Opt3, as published, read a signal that is no operand: 1e-5 w - 0.05 g² + 0.95 ŝ, and an
  average of g² with beta 0.999.
* Opt4 to Opt6 with their decays multiply the rate by an evolved schedule of four operators; a
  decay function has two. Opt4 divides by a bound that reaches 0 at the last step.
* Opt9 and Opt10, as published, use another form of Nesterov momentum than the search.
* AdamClip 0 and 4 add 1e-7 to a bound and clip a norm after it.
* Lion averages with beta 0.99 and reads the average before it is updated.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass

import torch
from torch import Tensor

from evoptim.decay import Decay
from evoptim.operands import Average, Signals
from evoptim.operators import BINARY, EPSILON
from evoptim.update import Tensors, decay
from evoptim.update.interpreter import average, slot

_clip = BINARY["clip"].apply
_smooth_quotient = BINARY["div_sqrt_one_plus_sq"].apply


def _signals(t: Tensors, *averages: Average) -> Signals:
    found = {name: average(name, t.gradient, t.state) for name in averages}
    return Signals(t.gradient, t.weight, found, t.count)


def _softsign(x: Tensor) -> Tensor:
    return x / (1.0 + x.abs())


def _mixed(s: Signals) -> Tensor:
    return 0.3 * s.gradient + 0.7 * s.hat("v")


def opt1(t: Tensors) -> Tensor:
    """The published program: minus 0.05 g² *plus* 0.95 ŝ."""
    s = _signals(t, "v", "s")
    small = 1e-5 * s.weight
    bound = small - 0.05 * s.gradient.square() + 0.95 * s.hat("s")
    return _mixed(s) + _softsign(_clip(small, bound))


def opt3(t: Tensors) -> Tensor:
    """The published program: the average beside g³ is one of g²."""
    s = _signals(t, "v")
    beta = 0.999
    squares = slot(t.state, "squares", t.gradient).mul_(beta)
    squares.add_(s.gradient.square(), alpha=1.0 - beta)
    large = squares / (1.0 - beta**t.count)
    small = 1e-5 * s.weight
    z = small - (0.01 * s.gradient.pow(3) + 0.99 * large)
    return _mixed(s) + _softsign(_smooth_quotient(small, z))


@dataclass(frozen=True)
class Opt9:
    """See :class:`evoptim.zoo.Opt9`; its momentum is :func:`published_nesterov`."""

    decayed: bool

    def __call__(self, t: Tensors) -> Tensor:
        """The update."""
        s = _signals(t, "s")
        squares = 0.05 * s.gradient.square() + 0.95 * s.hat("s")
        gradient = s.gradient * decay(0) if self.decayed else s.gradient
        return gradient * torch.atan(squares).exp()


@dataclass(frozen=True)
class Opt10:
    """See :class:`evoptim.zoo.Opt10`; its momentum is :func:`published_nesterov`."""

    decayed: bool

    def __call__(self, t: Tensors) -> Tensor:
        """The update."""
        gradient = t.gradient * decay(0) if self.decayed else t.gradient
        update: Tensor = torch.special.i1e(torch.special.i1e(gradient))
        return update


def adam_clip0(t: Tensors) -> Tensor:
    """The 1e-7 belongs to the bound, outside of what an operator adds."""
    s = _signals(t, "v", "s")
    return _clip(s.hat("v"), s.hat("s").sqrt() + EPSILON)


def adam_clip4(t: Tensors) -> Tensor:
    """The norm of what :func:`adam_clip0` leaves is clipped at 1."""
    clipped = adam_clip0(t)
    norm = (clipped * clipped).sum().sqrt()
    return clipped / norm.clamp(min=1.0)


def lion(t: Tensors) -> Tensor:
    """Reads the average before it is updated."""
    kept = slot(t.state, "m", t.gradient)
    direction = (0.9 * kept + 0.1 * t.gradient).sign()
    kept.mul_(0.99).add_(t.gradient, alpha=1.0 - 0.99)
    return direction


def published_nesterov(
    weight: Tensor,
    update: Tensor,
    rate: Tensor,
    coefficient: Tensor,
    state: MutableMapping[str, Tensor],
) -> None:
    """M <- mu m + eta d; w <- w + mu m + eta d, with the new m."""
    buffer = slot(state, "momentum", weight).mul_(coefficient)
    buffer.addcmul_(update, rate)
    weight.addcmul_(buffer, coefficient).addcmul_(update, rate)


@dataclass(frozen=True)
class HeldAtTheEnd:
    """A curve whose last value repeats the one before, for a divisor that ends at 0."""

    curve: Decay

    def values(self, total_steps: int) -> tuple[float, ...]:
        values = self.curve.values(total_steps)
        return (*values[:-1], values[-2] if total_steps > 1 else 1.0)
