"""The pages of docs/zoo: ``python docs/gallery.py`` (``make gallery``) writes all of them again.

Facts come from where they hold: formulas of genomes and notes from the classes' docstrings, curves
from the optimizers' own factor tables, learning rates from docs/zoo/rates.json, which
``python benchmarks/zoo.py --json docs/zoo/rates.json`` measured. Only typeset formulas and advice
are written here. The same versions of the libraries give the same bytes.
"""

from __future__ import annotations

import functools
import inspect
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from torch import Tensor

from evoptim import zoo
from evoptim.config import ScheduleSpec
from evoptim.decay import Decay
from evoptim.optim.baselines import make_baseline
from evoptim.optim.progress import Horizon, factor_table
from evoptim.report.palette import css_variables, light
from evoptim.report.svg import canvas, inline
from evoptim.schedule import learning_rate_factors
from evoptim.update import Formula
from evoptim.zoo import formulas

ZOO = Path(__file__).resolve().parent / "zoo"
IMAGES = "images"

WIDE = 820
"""Width of a figure of two panels: that of a text column on GitHub."""


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
    momentum: bool = False
    """Whether it uses Nesterov momentum as published."""
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
            momentum=True,
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
            momentum=True,
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
    }
)
"""By the names of the zoo, in its order."""


# Facts


def docstring(name: str) -> str:
    """The class's docstring."""
    return inspect.getdoc(zoo.OPTIMIZERS[name]) or ""


def state_words(name: str) -> str:
    """What it keeps, as its docstring says."""
    found = re.search(r"State: (.*?)\. Rates:", docstring(name), re.DOTALL)
    assert found is not None, name
    return " ".join(found[1].split())


def notes(name: str) -> list[str]:
    """The docstring's paragraphs after the formula, without what the page says elsewhere."""
    paragraphs = [" ".join(each.split()) for each in docstring(name).split("\n\n")[1:]]
    plain = [re.sub(r"(No decays\. )?State: .*| No decays\.$", "", each) for each in paragraphs]
    return [_markdown(each).strip() for each in plain if each.strip()]


def _markdown(text: str) -> str:
    text = text.replace("``", "`")
    return re.sub(r":class:`(\w+)`", lambda m: f"[{m[1]}]({m[1].lower()}.md)", text)


@functools.cache
def measured() -> dict[str, Any]:
    """What benchmarks/zoo.py wrote."""
    document: dict[str, Any] = json.loads((ZOO / "rates.json").read_text(encoding="utf-8"))
    return document


def rows(name: str) -> list[dict[str, Any]]:
    """Its measured rows: without decays, then with them, where that differs."""
    return [row for row in measured()["rows"] if row["name"] == name]


def range_words(row: Mapping[str, Any]) -> str:
    """The measured rates that do as well as the best."""
    low, high = row["low"], row["high"]
    return f"about {low:g}" if low == high else f"{low:g} to {high:g}"


def docstring_range(name: str) -> str:
    """What the class's docstring says of its rates: with and without decays, where they differ."""
    ranges = [range_words(row) for row in rows(name)]
    return ranges[0] if len(set(ranges)) == 1 else f"{ranges[0]}, with decay {ranges[1]}"


def formula_of(name: str, decay: bool) -> Formula:
    """The formula that the class runs by default."""
    optimizer = zoo.create(name, [torch.zeros(1)], lr=1.0, total_steps=1, decay=decay)
    return optimizer.formula


def genome_of(formula: Formula) -> Any:
    """Its genome, if it is one."""
    return getattr(formula.direction, "genome", None)


def intended_genome(name: str) -> Any:
    """The genome of ``reading="intended"``, if there is one."""
    optimizer_class: Any = zoo.OPTIMIZERS[name]
    if name == "opt4" or "reading" not in inspect.signature(optimizer_class).parameters:
        return None
    return genome_of(optimizer_class.equation(False, "intended"))


def reason(name: str) -> str:
    """Why it is no genome, from the module that holds those that are none."""
    _, *points = re.split(r"\n\* ", formulas.__doc__ or "")
    index = ENTRIES[name].why
    assert index is not None, name
    return " ".join(points[index].split())


# Pages


def pages() -> dict[str, str]:
    """The text of every page by its name below docs/zoo."""
    return {
        "README.md": index_page(),
        "schedules.md": schedules_page(),
        **{f"{name}.md": optimizer_page(name) for name in zoo.names()},
    }


def title(name: str) -> str:
    """How it is written in text: that of its class."""
    return zoo.OPTIMIZERS[name].__name__


def optimizer_page(name: str) -> str:
    """One optimizer."""
    entry = ENTRIES[name]
    parts = [
        f"# {title(name)}",
        entry.sentence,
        _block(entry.latex),
        *_with_decays(name),
        "The notation is explained in the [index](README.md#notation); the weights move by "
        + (
            "Nesterov momentum:"
            if entry.momentum
            else r"$w \leftarrow w - \eta_t u$ at the rate $\eta_t$."
        ),
        *(
            [_block(r"m \leftarrow \mu_t m - \eta_t u, \quad w \leftarrow w + \mu_t m - \eta_t u")]
            if entry.momentum
            else []
        ),
        *notes(name),
        "## Use it",
        _code(name),
        "Everything else is as with any optimizer of `torch.optim`. "
        + (
            "It always needs `total_steps`."
            if formula_of(name, False).needs_horizon
            else "Without `total_steps` the rate is that of an external scheduler"
            + (", which its decays do not allow." if len(rows(name)) > 1 else ".")
        ),
        "## When",
        f"**For:** {entry.use}",
        f"**Against:** {entry.avoid}",
        "## Learning rates",
        _image(f"{name}-rates", f"Validation accuracy of {title(name)} and Adam by learning rate"),
        _rates_table(name),
        _rates_words(),
        "## Schedule and decays",
        *_schedule_words(name),
        "## Trajectories",
        _image(
            f"{name}-paths", f"Paths of {title(name)} and Adam on Rosenbrock's and Beale's function"
        ),
        _paths_words(),
        "## Cost",
        _cost_table(name),
        "## As a genome",
        *_genome_words(name),
    ]
    return "\n\n".join(parts) + "\n"


def _block(latex: str) -> str:
    return f"$$\n{latex}\n$$"


def _image(name: str, words: str) -> str:
    return f"![{words}]({IMAGES}/{name}.svg)"


def _with_decays(name: str) -> list[str]:
    entry = ENTRIES[name]
    return ["With `decay=True`:", _block(entry.decayed)] if entry.decayed else []


def _code(name: str) -> str:
    row = rows(name)[-1]
    decay = ", decay=True" if row["decay"] else ""
    arguments = (
        f'"{name}", model.parameters(), lr={row["low"]:g}, '
        f"total_steps=1000, warmup_steps=100{decay}"
    )
    line = f"optimizer = zoo.create({arguments})"
    # As the formatter has it, which also reads the code in Markdown.
    call = line if len(line) <= 100 else f"optimizer = zoo.create(\n    {arguments}\n)"
    return f"```python\nfrom evoptim import zoo\n\n{call}\n```"


def _rates_table(name: str) -> str:
    lines = [
        "| | best rate | rates as good | accuracy, % | beside AdamW's |",
        "|---|---|---|---|---|",
    ]
    for row in rows(name):
        label = f"{title(name)} with decay" if row["decay"] else title(name)
        lines.append(_rates_row(label, row))
    lines.extend(_rates_row(label, rows(key)[0]) for key, label in _REFERENCES.items())
    return "\n".join(lines)


_REFERENCES = MappingProxyType({"adam": "Adam", "adamw": "AdamW", "momentum": "SGD, momentum 0.9"})


def _rates_row(label: str, row: Mapping[str, Any]) -> str:
    versus = "" if row["name"] == "adamw" else row["versus_adamw"]
    return (
        f"| {label} | {row['best']:g} | {range_words(row)} | {row['mean']:.1f} ± "
        f"{row['deviation']:.1f} | {versus} |"
    )


def _rates_words() -> str:
    found = measured()
    network = "-".join(map(str, found["widths"]))
    return (
        f"Validation accuracy after the last of {found['steps']} steps ({found['warmup']} of "
        f"warm-up) of a {network} network on scikit-learn's digits, mean ± deviation over "
        f"{found['seeds']} seeds. As good is what stays within {found['tolerance']:g} points of "
        "the best. A difference from AdamW counts only beyond three standard errors. Another "
        "network has other rates: take the range as where to begin, from its lower end, because "
        "training diverges not far above it. Measured by "
        f"`{found['command']}`."
    )


def _schedule_words(name: str) -> Iterator[str]:
    if not has_curves(name):
        yield _image("base", "The base schedule over training progress")
        yield "It has no decays: with `total_steps` the rate follows the base schedule."
        return
    yield _image(f"{name}-schedule", f"Rate and decays of {title(name)} over training progress")
    if len(rows(name)) > 1:
        scaled = formula_of(name, True).rate_curve is not None
        yield (
            f"{'Without decay the' if scaled else 'The'} rate follows the base schedule; the "
            "functions of progress are those of `decay=True`"
            + (", but A, which is always there." if name == "opt4" else ".")
        )


def _paths_words() -> str:
    return (
        f"{PATH_STEPS} steps under the base schedule, without decay, from the ring to the star. "
        "Both functions are scaled so that the gradient at the start has length 1. Each optimizer "
        "runs at the rate, of a half-decade grid, that comes near the minimum soonest without "
        "leaving the picture or jumping: the legend names it. Two dimensions without noise show "
        "how an optimizer moves, not how well it trains networks."
    )


def _cost_table(name: str) -> str:
    state = rows(name)[0]["state"]
    adam = rows("adamw")[0]["state"]

    def line(label: str, kept: int) -> str:
        return f"| {label} | {4 * kept} | {4 * (2 + kept)} | {4 * (1 + kept)} |"

    return "\n".join(
        [
            f"It keeps {state_words(name)}. Bytes per weight in float32, each step reading and "
            "writing everything once:",
            "",
            "| | state | read | written |",
            "|---|---|---|---|",
            line(title(name), state),
            line("AdamW", adam),
        ]
    )


def _genome_words(name: str) -> Iterator[str]:
    plain, decayed = (genome_of(formula_of(name, decay)) for decay in (False, True))
    texts = [("", plain)]
    if len(rows(name)) > 1:
        texts = [("without decay", plain), ("with decay", decayed)]
    intended = intended_genome(name)
    if intended is not None:
        texts.append(('`reading="intended"`', intended))
    if name == "opt4":
        texts = [("`variant=1` without decay", genome_of(_opt4_variant_1()))]
    shown = [(label, genome) for label, genome in texts if genome is not None]
    if ENTRIES[name].why is not None:
        yield (
            "What the search space expresses of it:"
            if shown
            else "The search space cannot express it."
        )
    for label, genome in shown:
        yield (f"{label[0].upper()}{label[1:]}:\n\n" if label else "") + f"```\n{genome}\n```"
    if ENTRIES[name].why is not None:
        yield f"Why not more: {reason(name)}" if shown else f"Why: {reason(name)}"


def _opt4_variant_1() -> Formula:
    return zoo.Opt4([torch.zeros(1)], lr=1.0, variant=1).formula


def index_page() -> str:
    """All of them at a glance."""
    lines = [
        "| | update | state | measured rates | on Rosenbrock's function |",
        "|---|---|---|---|---|",
    ]
    for name in zoo.names():
        row = rows(name)[0]
        lines.append(
            f"| **[{title(name)}]({name}.md)** | ${ENTRIES[name].latex}$ | {row['state']} | "
            f"{range_words(row)} | "
            f'<img src="{IMAGES}/{name}-thumb.svg" width="150" alt="path of {title(name)}"> |'
        )
    return (
        "\n\n".join(
            [
                "# The zoo",
                "Optimizers that searches found, ready to train with: ten of Morgan & Hougen "
                "([arXiv 2404.06679](https://arxiv.org/abs/2404.06679)), their five AdamClip "
                "variants, and PowerSign, AddSign and Lion, which searches found before. "
                "[Nine learning-rate schedules](schedules.md) evolved beside them.",
                "```python\n"
                "from evoptim import zoo\n\n"
                'optimizer = zoo.create("opt10", model.parameters(), '
                f"lr={rows('opt10')[0]['low']:g}, total_steps=1000)\n"
                "```",
                "\n".join(lines),
                "State counts tensors per weight tensor (Adam: 2). Paths: "
                "blue, beside Adam's in rose.",
                "## Which one?",
                _which(),
                "## Notation",
                NOTATION,
                "## How these pages are made",
                "`make gallery` writes them from the classes and from [rates.json](rates.json), "
                f"which `{measured()['command']}` measures.",
            ]
        )
        + "\n"
    )


NOTATION = r"""$g$ is the gradient, $w$ the weight, $u$ the update, $t$ the step of $T$, $x = t/T$.
$\hat v$, $\hat s$ and $\hat\lambda$ are the bias-corrected averages of $g$, $g^2$ and $g^3$ with
$\beta$ = 0.9, 0.99 and 0.999; $q = 0.3 g + 0.7 \hat v$. Further,
$\mathrm{clip}(x, c)$ limits $x$ to $-\lvert c \rvert$ … $\lvert c \rvert$;
$\mathrm{softsign}(x) = x / (1 + \lvert x \rvert)$; $\sigma$ is the logistic function;
$\mathrm{i1e}(x) = e^{-\lvert x \rvert} I_1(x)$ is a scaled Bessel function.

$\eta_t$ is the rate: `lr` times the base schedule (linear warm-up, hold, half a cosine to 0) if
there are `total_steps`, else `lr` as it stands. $a_1$ … $a_{14}$ are the functions of progress from
which decays are built: see [the search space](../search-space.md#decay-functions)."""


def _which() -> str:
    found = measured()["rows"]
    own = [row for row in found if row["name"] in ENTRIES]
    counts = {word: sum(row["versus_adamw"] == word for row in own) for word in VERDICTS}
    below = sorted({title(row["name"]) for row in own if row["versus_adamw"] == "below"})
    above = sorted({title(row["name"]) for row in own if row["versus_adamw"] == "above"})
    words = (
        f"On a small network and scikit-learn's digits, {counts['level']} of {len(own)} (with and "
        "without decays) cannot be told from AdamW in accuracy, each at its best rate"
    )
    words += f"; above it: {', '.join(above)}" if above else "; none is above it"
    words += f"; below it: {', '.join(below)}." if below else "; none is below it."
    return (
        f"{words} What differs is the state they keep, the rates they like and what large "
        "gradients do to them:\n\n"
        "- A bounded step whatever the gradient: Opt7, Opt10, Lion; nearly so Opt8; per tensor "
        "AdamClip4.\n"
        "- Insensitive to the gradient's scale: Lion alone. All others want rates that follow it, "
        "as SGD does; Adam's rates do not carry over.\n"
        "- One state tensor, half of Adam's: Opt4 to Opt8, Opt10, PowerSign, AddSign, Lion.\n"
        "- Not for large gradients: Opt4 and Opt5, whose steps grow exponentially with them.\n"
        "- Decays are functions of t/T and need `total_steps`."
    )


VERDICTS = ("above", "level", "below")


def schedules_page() -> str:
    """The nine evolved learning-rate schedules."""
    lines = ["| kind | factor | peak | shape |", "|---|---|---|---|"]
    for kind, schedule in zoo.SCHEDULES.items():
        shape = _markdown((inspect.getdoc(schedule) or "").split("\n\n")[0].split("\n")[0])
        shape = re.sub(r"\[EvolvedLR(\d)\]\([^)]*\)", r"kind \1", shape)
        lines.append(
            f"| {kind} | ${_plain_latex(zoo.CURVES[kind].latex)}$ | {_peak(kind):.2f} | {shape} |"
        )
    return (
        "\n\n".join(
            [
                "# Evolved learning-rate schedules",
                "Nine functions of training progress that multiply the base schedule, evolved "
                "together with the optimizers of Morgan & Hougen "
                "([arXiv 2404.06679](https://arxiv.org/abs/2404.06679)). They schedule any "
                "optimizer:",
                "```python\n"
                "from evoptim import zoo\n\n"
                "optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)\n"
                "scheduler = zoo.schedule(2, optimizer, total_steps=1000, warmup_steps=10)\n"
                "```",
                "Call `scheduler.step()` after every `optimizer.step()`.",
                _image("schedules", "The nine evolved schedules, each beside the base schedule"),
                "\n".join(lines),
                "The peak is relative to the optimizer's `lr`, at T = 1000 and a warm-up of 10 "
                "steps: to compare two schedules, or to take one in place of the plain cosine, "
                "divide the rate by it. D(x) = 1 - tanh²(x), S(x) = 1/(1+|x|); the primitives a1 "
                "… a14 are those of [the search space](../search-space.md#decay-functions), a14w "
                "the wide form. The first rate is 1e-7, whatever the target.",
                "Opt4, Opt5 and Opt6 with `decay=True` multiply their rate by that of kind 0.",
            ]
        )
        + "\n"
    )


def _plain_latex(latex: str) -> str:
    latex = re.sub(r"\\operatorname(\{\w+\}) ", r"\\mathrm\1 ~", latex)
    return latex.replace(r"\operatorname", r"\mathrm").replace(r"\,", "~")


def _peak(kind: int) -> float:
    base, factor = learning_rate_factors(1000, 10, 0), zoo.CURVES[kind].values(1000)
    return max(b * f for b, f in zip(base[1:], factor[1:], strict=True))


# Figures

SAMPLES = 201
HORIZON = Horizon(1000, 50, 0, base_schedule=True)
"""What schedule figures show: a warm-up of a twentieth."""

PATH_STEPS = 500
PATH_RATES = tuple(float(f"{m}e{k}") for k in range(-3, 3) for m in (1, 3))
LONGEST_STEP = 0.4
"""A path with longer ones jumps over the landscape by chance."""


@dataclass(frozen=True)
class Surface:
    """A function of the plane with one minimum."""

    name: str
    value: Callable[[Tensor, Tensor], Tensor]
    start: tuple[float, float]
    minimum: tuple[float, float]
    window: tuple[float, float, float, float]
    """Left, right, bottom, top of the picture."""

    @functools.cached_property
    def scale(self) -> float:
        """Makes the gradient at the start 1 long."""
        at = torch.tensor(self.start, dtype=torch.float64, requires_grad=True)
        self.value(at[0], at[1]).backward()
        assert at.grad is not None
        return 1.0 / at.grad.norm().item()


def _rosenbrock(x: Tensor, y: Tensor) -> Tensor:
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def _beale(x: Tensor, y: Tensor) -> Tensor:
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


ROSENBROCK = Surface("Rosenbrock", _rosenbrock, (-1.5, 1.5), (1.0, 1.0), (-2.0, 1.8, -0.7, 2.2))
BEALE = Surface("Beale", _beale, (1.0, 1.5), (3.0, 0.5), (-1.2, 4.4, -2.1, 1.9))

Path2 = list[tuple[float, float]]


def path(name: str, surface: Surface, rate: float) -> Path2 | None:
    """Where an optimizer goes; None if it leaves the picture or jumps."""
    at = torch.tensor(surface.start, dtype=torch.float64, requires_grad=True)
    warmup = PATH_STEPS // 20
    optimizer = (
        make_baseline("adam", [at], rate, ScheduleSpec(total_steps=PATH_STEPS, warmup_steps=warmup))
        if name == "adam"
        else zoo.create(name, [at], lr=rate, total_steps=PATH_STEPS, warmup_steps=warmup)
    )
    left, right, bottom, top = surface.window
    points = [surface.start]
    for _ in range(PATH_STEPS):
        optimizer.zero_grad()
        (surface.scale * surface.value(at[0], at[1])).backward()
        optimizer.step()
        x, y = at.tolist()
        inside = left <= x <= right and bottom <= y <= top
        if not inside or math.dist((x, y), points[-1]) > LONGEST_STEP:
            return None
        points.append((x, y))
    return points


@functools.cache
def best_path(name: str, surface: Surface) -> tuple[float, Path2]:
    """The rate that comes near the minimum soonest, and the path at it."""

    def farness(points: Path2) -> float:
        return sum(math.log10(math.dist(each, surface.minimum) + 0.01) for each in points)

    found = [(rate, path(name, surface, rate)) for rate in PATH_RATES]
    kept = [(rate, points) for rate, points in found if points is not None]
    return min(kept, key=lambda each: farness(each[1]))


def figures() -> Iterator[tuple[str, str]]:
    """Every figure by its name below docs/zoo, as SVG."""
    yield f"{IMAGES}/base.svg", base_figure()
    yield f"{IMAGES}/schedules.svg", schedules_figure()
    for name in zoo.names():
        yield f"{IMAGES}/{name}-rates.svg", rates_figure(name)
        if has_curves(name):
            yield f"{IMAGES}/{name}-schedule.svg", schedule_figure(name)
        yield f"{IMAGES}/{name}-paths.svg", paths_figure(name)
        yield f"{IMAGES}/{name}-thumb.svg", thumbnail(name)


def has_curves(name: str) -> bool:
    """Whether more than the base schedule depends on progress."""
    return formula_of(name, True).needs_horizon or ENTRIES[name].momentum


def rates_figure(name: str) -> str:
    """Accuracy by rate, beside Adam's."""
    with canvas(250) as (figure, axes):
        figure.set_size_inches(WIDE / 72, 250 / 72)
        own = rows(name)
        axes.axvspan(
            own[0]["low"] / 1.25, own[0]["high"] * 1.25, color=light("band"), linewidth=0, zorder=0
        )
        _accuracy_line(axes, rows("adam")[0], "Adam", light("rose"), 1.6, "-")
        for row in own:
            label = f"{title(name)} with decay" if row["decay"] else title(name)
            _accuracy_line(
                axes, row, label, light("blue"), 2.2, (0, (4, 1.6)) if row["decay"] else "-"
            )
        axes.set_xscale("log")
        axes.set_xlabel("learning rate")
        axes.set_ylabel("accuracy, %")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlim(8e-5, 1.25e2)
        axes.set_ylim(70, 98)
        axes.grid(axis="x", visible=False)
        _legend(axes)
        return standalone(
            figure,
            f"Validation accuracy over learning rates. {title(name)}: best at {own[0]['best']:g}, "
            f"as good at {range_words(own[0])}. Adam: best at {rows('adam')[0]['best']:g}.",
        )


def _accuracy_line(
    axes: Axes, row: Mapping[str, Any], label: str, colour: str, width: float, style: Any
) -> None:
    rates = [float(rate) for rate in row["accuracies"]]
    samples = [torch.tensor(each, dtype=torch.float64) for each in row["accuracies"].values()]
    means = [each.mean().item() for each in samples]
    spread = [each.std().item() for each in samples]
    axes.errorbar(
        rates,
        means,
        yerr=spread,
        color=colour,
        linewidth=width,
        linestyle=style,
        elinewidth=1.0,
        marker="o",
        markersize=3.5,
        label=label,
    )


def _legend(axes: Axes, columns: int = 3) -> None:
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=columns,
        frameon=False,
        borderaxespad=0.2,
        handlelength=1.8,
        columnspacing=1.4,
    )


def base_figure() -> str:
    """The base schedule alone."""
    with canvas(200) as (figure, axes):
        _base_line(axes)
        _progress(axes)
        axes.set_ylim(0, 1.05)
        axes.set_ylabel("rate / lr")
        _legend(axes)
        return standalone(figure, "The base schedule: linear warm-up, then half a cosine to 0.")


def schedule_figure(name: str) -> str:
    """Rate, momentum coefficient and decays over progress."""
    plain, decayed = (factor_table(formula_of(name, decay), HORIZON).T for decay in (False, True))
    curves = formula_of(name, True).curves
    second = bool(curves) or ENTRIES[name].momentum
    with canvas(250) as (figure, _):
        figure.clear()
        figure.set_size_inches((WIDE if second else 400) / 72, 250 / 72)
        left, *right = figure.subplots(1, 2 if second else 1, squeeze=False)[0]
        _base_line(left)
        if formula_of(name, True).rate_curve is not None:
            _curve(left, decayed[0], "with decay", "blue", 2.2)
        left.set_ylabel("rate / lr")
        left.set_ylim(0, 1.05)
        for axes in right:
            for number, curve in enumerate(curves):
                _curve(axes, decayed[2 + number], _curve_label(curve), "blue", 2.2)
            if ENTRIES[name].momentum:
                _curve(axes, plain[1], "momentum μ", "ochre", 1.6, (6, 2, 1.2, 2))
            axes.set_ylim(0, 1.05)
            axes.set_ylabel("factor")
        for axes in (left, *right):
            _progress(axes)
            _legend(axes, 2)
        return standalone(figure, f"Rate and functions of training progress of {title(name)}.")


def _curve_label(curve: Any) -> str:
    text = str(curve) if isinstance(curve, Decay) else "arctan(a13)"
    if text == "id(a1)":
        return "f = 1 - t/T"
    return f"A = {text.replace(')*(', '·').replace('(a13·a2)', 'a13·a2')}"


def _base_line(axes: Axes) -> None:
    shape = (HORIZON.total_steps or 1, HORIZON.warmup_steps, HORIZON.hold_steps)
    values = torch.tensor(learning_rate_factors(*shape))
    _curve(axes, values, "base schedule", "grey", 1.6, (5, 2))


def _curve(
    axes: Axes,
    values: Tensor,
    label: str,
    colour: str,
    width: float,
    dash: Sequence[float] = (),
) -> None:
    steps = torch.linspace(0, len(values) - 1, SAMPLES).round().long()
    axes.plot(
        (steps / len(values)).tolist(),
        values[steps].tolist(),
        color=light(colour),
        linewidth=width,
        linestyle=(0, tuple(dash)) if dash else "-",
        label=label,
    )


def _progress(axes: Axes) -> None:
    axes.set_xlim(0, 1)
    axes.set_xlabel("training progress t/T")
    axes.xaxis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 1]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(axis="x", visible=False)


def schedules_figure() -> str:
    """Small multiples of the nine schedules."""
    with canvas(560) as (figure, _):
        figure.clear()
        figure.set_size_inches(WIDE / 72, 560 / 72)
        panels = figure.subplots(3, 3, sharex=True, squeeze=False).flatten()
        base = torch.tensor(learning_rate_factors(1000, 10, 0), dtype=torch.float64)
        for (kind, curve), axes in zip(zoo.CURVES.items(), panels, strict=True):
            factor = torch.tensor(curve.values(1000), dtype=torch.float64)
            rates = base * factor
            rates[0] = 0.0
            _curve(axes, base, "base schedule", "grey", 1.4, (5, 2))
            # A spike of a few steps would fall between the samples.
            axes.plot(
                [step / 1000 for step in range(1000)],
                rates.tolist(),
                color=light("blue"),
                linewidth=2.0,
            )
            axes.set_title(f"kind {kind}, peak {rates.max():.2f}", fontsize=13, loc="left")
            axes.set_ylim(0, max(1.05, 1.05 * rates.max().item()))
            _progress(axes)
            axes.set_xlabel("")
        for axes in panels[6:]:
            axes.set_xlabel("training progress t/T")
        for axes in panels[::3]:
            axes.set_ylabel("rate / lr")
        return standalone(
            figure, "Nine evolved learning-rate schedules, each beside the base schedule."
        )


def paths_figure(name: str) -> str:
    """Both surfaces, the optimizer and Adam."""
    with canvas(360) as (figure, _):
        figure.clear()
        figure.set_size_inches(WIDE / 72, 360 / 72)
        told = []
        for axes, surface in zip(figure.subplots(1, 2), (ROSENBROCK, BEALE), strict=True):
            _landscape(axes, surface, levels=9)
            for each, label, colour, width in (
                ("adam", "Adam", "rose", 1.4),
                (name, title(name), "blue", 1.8),
            ):
                rate, points = best_path(each, surface)
                _path(axes, points, colour, width, f"{label}, rate {rate:g}")
                told.append(
                    f"{label} at rate {rate:g} on {surface.name}: ends "
                    f"{math.dist(points[-1], surface.minimum):.2g} from the minimum"
                )
            _ends(axes, surface, size=9)
            axes.set_xlabel(surface.name, color=light("ink"))
            _legend(axes, 2)
        return standalone(figure, "; ".join(told) + ".")


def thumbnail(name: str) -> str:
    """Rosenbrock's function alone, without words."""
    with canvas(130) as (figure, axes):
        figure.set_size_inches(180 / 72, 130 / 72)
        _landscape(axes, ROSENBROCK, levels=6)
        _path(axes, best_path("adam", ROSENBROCK)[1], "rose", 1.2, "")
        _path(axes, best_path(name, ROSENBROCK)[1], "blue", 1.8, "")
        _ends(axes, ROSENBROCK, size=8)
        axes.set_axis_off()
        return standalone(figure, f"Path of {title(name)} beside Adam's.")


def _landscape(axes: Axes, surface: Surface, levels: int) -> None:
    left, right, bottom, top = surface.window
    xs = torch.linspace(left, right, 81, dtype=torch.float64)
    ys = torch.linspace(bottom, top, 81, dtype=torch.float64)
    heights = surface.value(xs[None, :], ys[:, None]).add(1e-3).log10()
    axes.contour(
        xs.tolist(),
        ys.tolist(),
        heights.tolist(),
        levels=torch.linspace(-0.4, heights.max().item(), levels + 1)[:-1].tolist(),
        colors=[light("grey")],
        linewidths=0.5,
        linestyles="solid",
    )
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.grid(visible=False)


def _path(axes: Axes, points: Path2, colour: str, width: float, label: str) -> None:
    axes.plot(*zip(*points, strict=True), color=light(colour), linewidth=width, label=label)


def _ends(axes: Axes, surface: Surface, size: float) -> None:
    ink, paper = light("ink"), light("paper")
    axes.plot(*surface.start, "o", markersize=0.7 * size, mec=ink, mfc=paper, mew=1.3, zorder=5)
    axes.plot(*surface.minimum, "*", markersize=1.2 * size, mec=paper, mfc=ink, mew=0.6, zorder=5)


_NUMBER = re.compile(r"-?\d+\.\d+")
_STYLE = (
    "svg{background:var(--paper);"
    "font-family:system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif}"
)


def standalone(figure: Figure, description: str) -> str:
    """The figure as a file of its own, in the reader's colour scheme. Call inside ``canvas``."""
    width, height = (round(72 * inches) for inches in figure.get_size_inches())
    drawn = str(inline(figure, "f", description))
    # A tenth of a unit is finer than a screen shows.
    drawn = re.sub(r' d="[^"]*"', lambda d: _NUMBER.sub(_tenth, d[0]), drawn)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
    styled = drawn.replace("<svg", head, 1)
    opened = styled.index(">") + 1
    style = f"<style>{css_variables()}{_STYLE}</style>"
    return f"{styled[:opened]}{style}{styled[opened:]}\n"


def _tenth(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}".removesuffix(".0")


def main() -> None:
    """Write everything, and remove images that no page has any more."""
    torch.set_num_threads(1)
    (ZOO / IMAGES).mkdir(parents=True, exist_ok=True)
    written = set()
    for name, text in pages().items():
        (ZOO / name).write_text(text, encoding="utf-8")
    for name, drawn in figures():
        (ZOO / name).write_text(drawn, encoding="utf-8")
        written.add(ZOO / name)
    for left in set((ZOO / IMAGES).iterdir()) - written:
        left.unlink()
    print(f"wrote {len(pages())} pages and {len(written)} figures to {ZOO}")


if __name__ == "__main__":
    main()
