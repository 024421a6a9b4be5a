"""What only a person can write about the optimizers of the zoo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Entry:
    """What only a person can write about an optimizer."""

    sentence: str
    latex: str
    """The update u without decays; GitHub knows no ``operatorname`` and eats a backslash before
    punctuation."""
    use: str
    avoid: str
    decayed: str = ""
    """What its decays change, in LaTeX."""
    momentum: str | None = None
    """How weights move with it, in LaTeX, if it uses Nesterov momentum."""
    why: int | None = None
    """Which point of :mod:`evoptim.zoo.formulas` says why it is no genome, if it is none."""


_F = r"\frac{\mathrm{erfc}(\mathrm{erfc}(a_4))}{1 - \tanh^2 a_8}"
_BLEND = (
    "Where SGD with momentum works and gradients are noisy: the update is a blend of the gradient "
    "and its average."
)
_TINY = (
    "At weights of ordinary size the second term is a weight decay of 1e-5 and Opt1, Opt2 and Opt3 "
    "are one optimizer; do not expect them to differ. The update scales with the gradient, so "
    "sparse or badly scaled gradients want Adam."
)
_PUBLISHED_NESTEROV = r"m \leftarrow \mu_t m - \eta_t u, \quad w \leftarrow w + \mu_t m - \eta_t u"
_NESTEROV = r"m \leftarrow \mu_t m - \eta_t u, \quad w \leftarrow w + m - \eta_t u"
_CLIP = (
    "The bound is above 1/2 wherever gradients are small, so in most networks nothing is ever "
    "clipped and AdamClip1, AdamClip2 and AdamClip3 are one optimizer: the gradient's average, "
    "with one state tensor that earns nothing."
)

ENTRIES: Mapping[str, Entry] = MappingProxyType(
    {
        "opt1": Entry(
            "A blend of gradient and average gradient, with a bounded weight decay beside it.",
            r"u = q + \mathrm{softsign}(\mathrm{clip}(10^{-5} w, z)), \quad "
            r"z = 10^{-5} w - 0.05 g^2 + 0.95 \hat s",
            _BLEND,
            _TINY,
            why=0,
        ),
        "opt2": Entry(
            "Opt1 with a smooth quotient in place of the clip.",
            r"u = q + \mathrm{softsign} \left( \frac{10^{-5} w}{\sqrt{1 + z^2}} \right), \quad "
            r"z = 10^{-5} w - \left( 0.05 g^2 + 0.95 \hat s \right)",
            _BLEND,
            _TINY,
        ),
        "opt3": Entry(
            "Opt2 with a third moment in place of the second.",
            r"u = q + \mathrm{softsign} \left( \frac{10^{-5} w}{\sqrt{1 + z^2}} \right), \quad "
            r"z = 10^{-5} w - \left( 0.01 g^3 + 0.99 L \right)",
            _BLEND,
            _TINY,
            why=0,
        ),
        "opt4": Entry(
            "The blend q divided by an exponential of the average gradient, between steps of half "
            "the size and steps without bound.",
            r"u = \frac{q}{\mathrm{clip}(2, A e^{\hat v})}, \quad A = \arctan a_{13}",
            "Where gradients stay well below 1, as in a normalised network: there it is the blend "
            "q at a rate of 1/A, which grows toward the end of the training.",
            "Average gradients far below -1: the divisor is exp(v̂), so a step grows like exp(-v̂) "
            "and training diverges: on Rosenbrock's function, unscaled, at all rates from 1e-4 to "
            "30.",
            decayed=rf"\eta_t \leftarrow \eta_t \cdot {_F}",
            why=1,
        ),
        "opt5": Entry(
            "Opt4 without the factor A.",
            r"u = \frac{q}{\mathrm{clip}(2, e^{\hat v})}",
            "Where gradients stay well below 1: there it is the blend q, at the cost of SGD with "
            "momentum.",
            "Average gradients far below -1, as Opt4: the step grows like exp(-v̂), and training "
            "diverges.",
            decayed=rf"\eta_t \leftarrow \eta_t \cdot {_F}",
            why=1,
        ),
        "opt6": Entry(
            "The blend q, very slightly smaller for large positive weights.",
            r"u = \frac{q}{\left\lvert e^{10^{-4} w} \right\rvert}",
            "Where SGD with momentum works. With its decays it is the blend q under evolved "
            "schedule 1, which peaks at three quarters of the rate: a plateau, then a drop.",
            "Gradients of very different scale between layers: nothing normalises them.",
            decayed=r"u = \frac{q}{\left\lvert A e^{10^{-4} w} \right\rvert}, \quad "
            rf"A = 1 - \tanh^2 a_4, \quad \eta_t \leftarrow \eta_t \cdot {_F}",
            why=1,
        ),
        "opt7": Entry(
            "The blend q squashed twice: no weight ever moves by more than the rate.",
            r"u = \tanh(\mathrm{arcsinh}(q))",
            "Where single gradients explode: below 1 it is the blend q, above it no element moves "
            "by more than the rate, so that no gradient clipping is needed.",
            "Gradients all far above 1, where every element moves by the rate, as in sign descent; "
            "or all tiny, where it is SGD and the rate has to follow their scale.",
            decayed=r"u = \tanh(A \mathrm{arcsinh}(q)), \quad A = \max(a_6, a_{10})",
        ),
        "opt8": Entry(
            "The blend q compressed twice by arcsinh: large gradients count by their logarithm.",
            r"u = \mathrm{arcsinh}(\mathrm{arcsinh}(q))",
            "As Opt7, where large gradients should still count for more than small ones.",
            "Tiny gradients, where it is SGD and the rate has to follow their scale.",
            decayed=r"u = \mathrm{arcsinh}(A \mathrm{arcsinh}(q)), \quad A = \max(a_6, a_{10})",
        ),
        "opt9": Entry(
            "Nesterov momentum, up to 4.8 times as fast where squared gradients are large.",
            r"u = g e^{\arctan(0.05 g^2 + 0.95 \hat s)}",
            "As a replacement for SGD with Nesterov momentum, at its rates.",
            "Where Nesterov momentum is unstable: the factor, at most exp(π/2), makes it more so. "
            "It keeps a tensor more than SGD.",
            decayed=r"u = A g e^{\arctan(0.05 g^2 + 0.95 \hat s)}, \quad A = \mathrm{erfc}(a_{11})",
            momentum=_PUBLISHED_NESTEROV,
            why=2,
        ),
        "opt10": Entry(
            "Nesterov momentum over a gradient that passes a Bessel function twice: large "
            "gradients count for less than middling ones.",
            r"u = \mathrm{i1e}(\mathrm{i1e}(g))",
            "Where outlier gradients harm: no element of u exceeds 0.1. For small gradients u is "
            "g/4, so its rates are some ten times those of SGD with momentum; with its decays, in "
            "networks with batch normalisation, they reach 10.",
            "A rate copied from SGD or Adam: it would be too small.",
            decayed=r"u = \mathrm{i1e}(\mathrm{i1e}(A g)), \quad A = a_{13} a_2",
            momentum=_PUBLISHED_NESTEROV,
            why=2,
        ),
        "adamclip0": Entry(
            "Adam's average gradient, clipped at the root of the second moment, not divided by it.",
            r"u = \mathrm{clip}(\hat v, \sqrt{\hat s} + 10^{-7})",
            "To see what Adam's division brings: all else is Adam's (with beta 0.99).",
            "To save tuning: the average rarely exceeds the bound, and without the division the "
            "rate has to follow the scale of the gradients.",
            why=3,
        ),
        "adamclip1": Entry(
            "The average gradient, clipped at the logarithm of the second moment.",
            r"u = \mathrm{clip}(\hat v, \lvert \ln(\hat s + 10^{-7}) \rvert)",
            "For ablations of Adam's division.",
            _CLIP + " Where the second moment is near 1 the bound is near 0 and training stalls.",
        ),
        "adamclip2": Entry(
            "The average gradient, clipped at the root of AdamClip1's bound.",
            r"u = \mathrm{clip} \left( \hat v, \sqrt{\lvert \ln(\hat s + 10^{-7}) \rvert} \right)",
            "For ablations of Adam's division.",
            _CLIP + " Where the second moment is near 1 the bound is near 0 and training stalls.",
        ),
        "adamclip3": Entry(
            "The average gradient, clipped at a sigmoid of the second moment: 1/2 to 1.",
            r"u = \mathrm{clip}(\hat v, \sigma(\hat s))",
            "For ablations of Adam's division, or as momentum whose steps are bounded by the rate.",
            _CLIP,
        ),
        "adamclip4": Entry(
            "AdamClip0 with the norm of every tensor's update clipped at 1.",
            r"u = \frac{c}{\max(1, \lVert c \rVert)}, \quad "
            r"c = \mathrm{clip}(\hat v, \sqrt{\hat s} + 10^{-7})",
            "Where whole layers receive gradients that explode: no tensor moves further than the "
            "rate.",
            "Where its bound never acts it is AdamClip0. The norm needs a pass over the tensor of "
            "its own.",
            why=3,
        ),
        "powersign": Entry(
            "The gradient, e times as long where it agrees with its average in sign, e times as "
            "short where not.",
            r"u = g e^{f \mathrm{sign}(g) \mathrm{sign}(\hat v)}, \quad f = 1",
            "Smooth losses and large batches, where agreement of signs means something.",
            "Small batches: agreement of signs is then mostly chance. The average's length is "
            "never used, so noise is not averaged away.",
            decayed=r"u = g e^{f \mathrm{sign}(g) \mathrm{sign}(\hat v)}, \quad f = 1 - t/T",
        ),
        "addsign": Entry(
            "The gradient, doubled where it agrees with its average in sign, else dropped.",
            r"u = g (1 + f \mathrm{sign}(g) \mathrm{sign}(\hat v)), \quad f = 1",
            "Smooth losses and large batches, as PowerSign.",
            "Small batches, as PowerSign.",
            decayed=r"u = g (1 + f \mathrm{sign}(g) \mathrm{sign}(\hat v)), \quad f = 1 - t/T",
        ),
        "lion": Entry(
            "The sign of an average: every weight moves by exactly the rate.",
            r"u = \mathrm{sign}(0.9 m + 0.1 g), \quad m \leftarrow 0.99 m + 0.01 g",
            "Large models and batches with decoupled weight decay, at a third to a tenth of "
            "AdamW's rate: half of its state, and a rate that does not depend on the scale of the "
            "gradients.",
            "Short trainings and small batches: steps shrink with the schedule only, never with "
            "the gradient.",
            why=4,
        ),
        "evo1": Entry(
            "Nesterov momentum under an evolved function of progress: small steps for most of a "
            "training, large ones late in it.",
            r"u = \frac{g}{\sqrt{1 + (10^{-3} w)^2}}",
            "Short trainings of convolutional networks, with its decay: there it is level with "
            "Nesterov, RMSProp and Adam ([what is known of it](../discovery/README.md)).",
            "Without its decay, where it is SGD with Nesterov momentum; and trainings whose length "
            "is not known beforehand.",
            decayed=r"u = A \frac{g}{\sqrt{1 + (10^{-3} w)^2}}, \quad A = \min(a_1, a_{14})",
            momentum=_NESTEROV,
        ),
        "evo2": Entry(
            "The sign of the average gradient, as Signum has it, with a bound that shortens the "
            "step only where a gradient is about 1.",
            r"u = \mathrm{clip}(\mathrm{sign}(\hat v), 2 + z), \quad z = 0.663 s - g^2",
            "Short trainings of convolutional networks: there it is level with Nesterov, RMSProp "
            "and Adam ([what is known of it](../discovery/README.md)). Every weight moves by the "
            "rate, whatever the gradient.",
            "Memory: the bound needs an average of g² and hardly ever acts. "
            "`EvolvedOptimizer(params, 'None ~ id(sign(v hat))')` is the rule without it, at half "
            "of the state. Steps shrink with the schedule only.",
            decayed=r"u = \mathrm{clip}(\mathrm{sign}(\hat v), 2 A + B z), \quad "
            r"A = \sigma(a_8), \quad B = a_{14}",
        ),
    }
)
"""By the names of the zoo, in its order."""
