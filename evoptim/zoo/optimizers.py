r"""The optimizers of the zoo.

Notation: g gradient, w weight; :math:`\hat v`, :math:`\hat s`, :math:`\hat\lambda` the
bias-corrected averages of g, g² and g³ with beta 0.9, 0.99, 0.999; q = 0.3 g + 0.7 v̂;
softsign(x) = x/(1+|x|); clip(x, c) limits x to [-|c|, |c|]; a1 to a14 the decay primitives of
:mod:`evoptim.decay.primitives`. The update u moves the weights by -η_t u, where η_t is the rate:
``lr`` times the base schedule if there are ``total_steps``, else ``lr`` as it stands. Past
``total_steps`` the last value of everything holds, with one warning.

All take the options of :class:`evoptim.optim.RuleOptimizer` beside their own:

* ``lr``: the peak rate. The range given with each is where sweeps found its best rates.
* ``decay``: with True, the functions of training progress that were evolved with the optimizer,
  which need ``total_steps``; off by default, as published. Where there are none it changes
  nothing, as in the published program.
* ``reading``: "published" runs the program that earned the published accuracies; "intended" what
  its text says, where the two differ.

Those that the search space expresses are genomes, run by :class:`evoptim.optim.EvolvedOptimizer`;
:mod:`evoptim.zoo.formulas` holds the others and says why.

Source: Morgan & Hougen, arXiv 2404.06679, unless a class names another.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from typing import TYPE_CHECKING, Literal

from torch import Tensor
from torch.optim.optimizer import ParamsT

from evoptim.decay import Decay
from evoptim.errors import InputError
from evoptim.genome import Genome
from evoptim.optim import EvolvedOptimizer, RuleOptimizer
from evoptim.optim.rule_optimizer import OptimizerOptions
from evoptim.update import Formula, genome_formula
from evoptim.zoo import formulas
from evoptim.zoo.schedules import CURVES

if TYPE_CHECKING:
    from typing_extensions import Unpack

Reading = Literal["published", "intended"]

_Q = "((1-0.7)*g+0.7*v hat)"
_SQUARES = "((1-0.95)*g^2+0.95*s hat)"
_CUBES = "((1-0.99)*g^2+0.99*lam hat)"
_BOUNDED = f"(10-5w) / (sqrt(1+((10-5w)-({_SQUARES}))^2))"


class _Genome(EvolvedOptimizer):
    """A genome, with and without its decays."""

    plain: str
    decayed: str

    def __init__(
        self,
        params: ParamsT,
        *,
        lr: float | Tensor,
        decay: bool = False,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(params, self.decayed if decay else self.plain, lr=lr, **options)


class _Written(RuleOptimizer):
    """A formula that no genome expresses."""

    def __init__(
        self,
        params: ParamsT,
        *,
        lr: float | Tensor,
        decay: bool = False,
        **options: Unpack[OptimizerOptions],
    ) -> None:
        super().__init__(params, self.equation(decay), lr=lr, **options)

    @staticmethod
    @abstractmethod
    def equation(decay: bool) -> Formula:
        """What it computes, with or without its decays."""


class _TwoReadings(RuleOptimizer):
    """A formula whose published program differs from what its text says."""

    def __init__(
        self,
        params: ParamsT,
        *,
        lr: float | Tensor,
        decay: bool = False,
        reading: Reading = "published",
        **options: Unpack[OptimizerOptions],
    ) -> None:
        _check_reading(reading)
        super().__init__(params, self.equation(decay, reading), lr=lr, **options)

    @staticmethod
    @abstractmethod
    def equation(decay: bool, reading: Reading) -> Formula:
        """What it computes, with or without its decays, in either reading."""


def _check_reading(reading: object) -> None:
    if reading not in ("published", "intended"):
        raise InputError(f"reading is 'published' or 'intended', got {reading!r}")


def _genome(text: str) -> Formula:
    return genome_formula(Genome.parse(text))


def _with_schedule_0(formula: Formula, name: str) -> Formula:
    """F = erfc(erfc(a4)) / D(a8) multiplies the rate."""
    return dataclasses.replace(formula, name=f"{name} with decay", rate_curve=CURVES[0])


def _with_published_nesterov(
    name: str, direction: formulas.Opt9 | formulas.Opt10, decay: str | None
) -> Formula:
    """The update with Nesterov momentum as published; ``decay`` is A as a function of progress."""
    return Formula(
        name if decay is None else f"{name} with decay",
        direction,
        formulas.published_nesterov,
        curves=() if decay is None else (Decay.parse(decay),),
    )


class Opt1(_TwoReadings):
    """u = q + softsign(clip(1e-5 w, z)), z = 1e-5 w - 0.05 g² + 0.95 ŝ.

    The published program lacks a parenthesis; with ``reading="intended"``
    z = 1e-5 w - (0.05 g² + 0.95 ŝ), which a genome expresses. No decays.

    State: two tensors per weight tensor (v, s). Rates: 0.5 to 1.

    Past ``total_steps`` the last values of schedule and decays hold, with one warning.
    """

    @staticmethod
    def equation(decay: bool, reading: Reading) -> Formula:  # noqa: ARG004
        if reading == "published":
            return Formula("opt1", formulas.opt1)
        clipped = f"clip(10-5w, (10-5w)-({_SQUARES}))"
        return _genome(f"None ~ ({_Q})+({clipped}/(1+|{clipped}|))")


class Opt2(_Genome):
    """u = q + softsign(1e-5 w / sqrt(1 + z²)), z = 1e-5 w - (0.05 g² + 0.95 ŝ). No decays.

    State: two tensors per weight tensor (v, s). Rates: 0.5 to 2.

    Past ``total_steps`` the last values of schedule and decays hold, with one warning.
    """

    plain = decayed = f"None ~ ({_Q})+({_BOUNDED}/(1+|{_BOUNDED}|))"


class Opt3(_TwoReadings):
    """u = q + softsign(1e-5 w / sqrt(1 + z²)), z = 1e-5 w - (0.01 g³ + 0.99 L).

    L is the bias-corrected average, beta 0.999, of g² in the published program; with
    ``reading="intended"`` of g³, as the term beside it, which a genome expresses. No decays.

    State: two tensors per weight tensor (v, squares; intended: v, l). Rates: 0.5 to 2.

    Past ``total_steps`` the last values of schedule and decays hold, with one warning.
    """

    @staticmethod
    def equation(decay: bool, reading: Reading) -> Formula:  # noqa: ARG004
        if reading == "published":
            return Formula("opt3", formulas.opt3)
        bounded = f"(10-5w) / (sqrt(1+((10-5w)-({_CUBES}))^2))"
        return _genome(f"None ~ ({_Q})+({bounded}/(1+|{bounded}|))")


class Opt4(RuleOptimizer):
    """u = q / clip(2, A exp(v̂)).

    ``variant`` 0: A = arctan(a13), whatever ``decay`` says, so that it always needs
    ``total_steps``; ``variant`` 1: A = 1. With ``decay`` the rate is multiplied by
    F = erfc(erfc(a4)) / (1 - tanh²(a8)), evolved schedule 0. With ``reading="intended"`` A follows
    ``decay`` too.

    The published program divides by 0 at its last step, where a13 = 0; this one repeats the value
    of A of the step before.

    State: one tensor per weight tensor (v). Rates: 0.5 to 1.

    Past ``total_steps`` the last values of schedule and decays hold, with one warning.
    """

    def __init__(
        self,
        params: ParamsT,
        *,
        lr: float | Tensor,
        decay: bool = False,
        variant: int = 0,
        reading: Reading = "published",
        **options: Unpack[OptimizerOptions],
    ) -> None:
        _check_reading(reading)
        if variant not in (0, 1):
            raise InputError(f"variant of opt4 is 0 or 1, got {variant!r}")
        scaled = variant == 0 and (bool(decay) or reading == "published")
        super().__init__(params, self.equation(decay, scaled), lr=lr, **options)

    @staticmethod
    def equation(decay: bool, scaled: bool) -> Formula:
        """``scaled``: whether A = arctan(a13)."""
        if not scaled:
            found = _genome(f"None ~ ({_Q}) / (clip(2, exp(v hat)))")
            return _with_schedule_0(found, "opt4 variant 1") if decay else found
        found = _genome(f"None ~ ({_Q}) / (clip(2, [arctan(a13)][exp(v hat)]))")
        held = dataclasses.replace(
            found,
            name="opt4",
            curves=(formulas.HeldAtTheEnd(Decay.parse("arctan(a13)")),),
        )
        return _with_schedule_0(held, "opt4") if decay else held


class Opt5(_Written):
    """u = q / clip(2, exp(v̂)); with ``decay`` the rate is multiplied by evolved schedule 0.

    Without decay it is a genome. State: one tensor per weight tensor (v). Rates: 0.5 to 1.

    Past ``total_steps`` the last values of schedule and decays hold, with one warning.
    """

    @staticmethod
    def equation(decay: bool) -> Formula:
        found = _genome(f"None ~ ({_Q}) / (clip(2, exp(v hat)))")
        return _with_schedule_0(found, "opt5") if decay else found


class Opt6(_Written):
    """u = q / |A exp(1e-4 w)|, A = 1; with ``decay`` A = 1 - tanh²(a4) and evolved schedule 0.

    Without decay it is a genome. State: one tensor per weight tensor (v). Rates: 0.5 to 1.

    Past ``total_steps`` the last values of schedule and decays hold, with one warning.
    """

    @staticmethod
    def equation(decay: bool) -> Formula:
        if not decay:
            return _genome(f"None ~ ({_Q}) / (|exp(10-4w)|)")
        return _with_schedule_0(
            _genome(f"None ~ ({_Q}) / (|[deriv_tanh(a4)][exp(10-4w)]|)"), "opt6"
        )


class Opt7(_Genome):
    """u = tanh(A arcsinh(q)), A = 1; with ``decay`` A = max(a6, a10).

    State: one tensor per weight tensor (v). Rates: 1 to 2, with decay 0.5 to 2.

    Past ``total_steps`` the last values of schedule and decays hold, with one warning.
    """

    plain = f"None ~ tanh(arcsinh({_Q}))"
    decayed = f"None ~ tanh([max(a6, a10)][arcsinh({_Q})])"


class Opt8(_Genome):
    """u = arcsinh(A arcsinh(q)), A = 1; with ``decay`` A = max(a6, a10).

    State: one tensor per weight tensor (v). Rates: 1 to 2, with decay 0.5 to 2.

    Past ``total_steps`` the last values of schedule and decays hold, with one warning.
    """

    plain = f"None ~ arcsinh(arcsinh({_Q}))"
    decayed = f"None ~ arcsinh([max(a6, a10)][arcsinh({_Q})])"


class Opt9(_TwoReadings):
    """u = A g exp(arctan(0.05 g² + 0.95 ŝ)), Nesterov momentum; A = 1; with ``decay`` erfc(a11).

    As published m <- μ m - η u; w <- w + μ m - η u. With ``reading="intended"`` the search's
    Nesterov, w <- w + m - η u, with which it was found and which a genome expresses.

    State: two tensors per weight tensor (s, momentum). Rates: about 0.2, with decay 0.1 to 0.2.

    Past ``total_steps`` the last values of schedule and decays hold, with one warning.
    """

    @staticmethod
    def equation(decay: bool, reading: Reading) -> Formula:
        if reading == "intended":
            signal = "[erfc(a11)][g]" if decay else "g"
            return _genome(f"Nest ~ ({signal})*(exp(arctan({_SQUARES})))")
        direction = formulas.Opt9(bool(decay))
        return _with_published_nesterov("opt9", direction, "erfc(a11)" if decay else None)


class Opt10(_TwoReadings):
    """u = i1e(i1e(A g)) with Nesterov momentum; A = 1, with ``decay`` a13 a2.

    i1e(x) = exp(-|x|) I1(x), the scaled modified Bessel function of order 1. Momentum and
    ``reading`` as :class:`Opt9`.

    State: one tensor per weight tensor (momentum). Rates: 0.5 to 1, with decay 0.5 to 2.

    Past ``total_steps`` the last values of schedule and decays hold, with one warning.
    """

    @staticmethod
    def equation(decay: bool, reading: Reading) -> Formula:
        if reading == "intended":
            signal = "[(a13)*(a2)][g]" if decay else "g"
            return _genome(f"Nest ~ bessel_i1e(bessel_i1e({signal}))")
        direction = formulas.Opt10(bool(decay))
        return _with_published_nesterov("opt10", direction, "(a13)*(a2)" if decay else None)


class AdamClip0(_Written):
    """u = clip(v̂, sqrt(ŝ) + 1e-7): Adam's bound without its division. No decays.

    State: two tensors per weight tensor (v, s). Rates: 0.5 to 1.

    Past ``total_steps`` the last values of schedule and decays hold, with one warning.
    """

    @staticmethod
    def equation(decay: bool) -> Formula:  # noqa: ARG004
        return Formula("adamclip0", formulas.adam_clip0)


class AdamClip1(_Genome):
    """u = clip(v̂, |ln(ŝ + 1e-7)|). No decays.

    State: two tensors per weight tensor (v, s). Rates: 0.5 to 1.

    Past ``total_steps`` the last values of schedule and decays hold, with one warning.
    """

    plain = decayed = "None ~ clip(v hat, ln(|s hat|))"


class AdamClip2(_Genome):
    """u = clip(v̂, sqrt|ln(ŝ + 1e-7)|). No decays.

    State: two tensors per weight tensor (v, s). Rates: 0.5 to 1.

    Past ``total_steps`` the last values of schedule and decays hold, with one warning.
    """

    plain = decayed = "None ~ clip(v hat, sqrt(|ln(|s hat|)|))"


class AdamClip3(_Genome):
    """u = clip(v̂, σ(ŝ)). No decays.

    The published program adds 1e-7 to ŝ, which σ, at least 1/2, does not show in float32.

    State: two tensors per weight tensor (v, s). Rates: 0.5 to 1.

    Past ``total_steps`` the last values of schedule and decays hold, with one warning.
    """

    plain = decayed = "None ~ clip(v hat, sig(s hat))"


class AdamClip4(_Written):
    """As :class:`AdamClip0`, then divided by its L2 norm over the tensor where that exceeds 1.

    No decays. State: two tensors per weight tensor (v, s). Rates: 0.5 to 1.

    Past ``total_steps`` the last values of schedule and decays hold, with one warning.
    """

    @staticmethod
    def equation(decay: bool) -> Formula:  # noqa: ARG004
        return Formula("adamclip4", formulas.adam_clip4)


class PowerSign(_Genome):
    """u = g exp(f sign(g) sign(v)), f = 1; with ``decay`` f = 1 - t/T.

    Source: Bello et al., "Neural Optimizer Search with Reinforcement Learning", arXiv 1709.07417,
    with base e, as they recommend, and their linear internal decay.

    State: one tensor per weight tensor (v). Rates: 0.1 to 0.2.

    Past ``total_steps`` the last values of schedule and decays hold, with one warning.
    """

    plain = "None ~ (g)*(exp((sign(g))*(sign(v hat))))"
    decayed = "None ~ (g)*(exp([id(a1)][(sign(g))*(sign(v hat))]))"


class AddSign(_Genome):
    """u = g (1 + f sign(g) sign(v)), f = 1; with ``decay`` f = 1 - t/T.

    Source: Bello et al., "Neural Optimizer Search with Reinforcement Learning", arXiv 1709.07417,
    with alpha 1 and their linear internal decay.

    State: one tensor per weight tensor (v). Rates: 0.1 to 0.2.

    Past ``total_steps`` the last values of schedule and decays hold, with one warning.
    """

    plain = "None ~ (g)*((1)+((sign(g))*(sign(v hat))))"
    decayed = "None ~ (g)*((1)+([id(a1)][(sign(g))*(sign(v hat))]))"


class Lion(_Written):
    """u = sign(0.9 m + 0.1 g), then m <- 0.99 m + 0.01 g. No decays.

    Source: Chen et al., "Symbolic Discovery of Optimization Algorithms", arXiv 2302.06675. They
    use decoupled weight decay (``decoupled_weight_decay=True``), three to ten times AdamW's.

    State: one tensor per weight tensor (m). Rates: about 0.001.

    Past ``total_steps`` the last values of schedule and decays hold, with one warning.
    """

    @staticmethod
    def equation(decay: bool) -> Formula:  # noqa: ARG004
        return Formula("lion", formulas.lion)


class Evo1(_Genome):
    """u = A g / sqrt(1 + (1e-3 w)²), A = 1, Nesterov momentum; with ``decay`` A = min(a1, a14).

    With ``decay`` it is what evoptim's first search on CIFAR-10 found; without, and at weights of
    ordinary size, it is Nesterov's method.

    Source: evoptim, docs/discovery.

    State: one tensor per weight tensor (momentum). Rates: 0.1 to 0.2, with decay 1 to 5.

    Past ``total_steps`` the last values of schedule and decays hold, with one warning.
    """

    plain = "Nest ~ (g) / (sqrt(1+(id(10-3w))^2))"
    decayed = "Nest ~ ([min(a1, a14)][g]) / (sqrt(1+(id(10-3w))^2))"


class Evo2(_Genome):
    """u = clip(sign(v̂), 2A + Bz), z = 0.663 s - g², A = B = 1; with ``decay`` A = σ(a8), B = a14.

    Here s is the average of g² before its correction. Where gradients are well below 1, the bound
    is not, and u is the sign of the average gradient: Signum (Bernstein et al., "signSGD", arXiv
    1802.04434), which evoptim's search of an hour on CIFAR-10 found again.

    Source: evoptim, docs/discovery.

    State: two tensors per weight tensor (v, s). Rates: 0.002 to 0.005.

    Past ``total_steps`` the last values of schedule and decays hold, with one warning.
    """

    plain = "None ~ clip(sign(v hat), (2)+(mean(beta*s-g^2)))"
    decayed = "None ~ clip(sign(v hat), ([1/(1+exp(-a8)][2])+([id(a14)][mean(beta*s-g^2)]))"
