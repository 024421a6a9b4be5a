"""The page that shows all optimizers at a glance."""

from __future__ import annotations

from evoptim import zoo
from gallery.entries import ENTRIES
from gallery.facts import VERDICTS, measured, range_words, rows, title
from gallery.places import IMAGES


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
                "variants, PowerSign, AddSign and Lion, which searches found before, and Evo1 and "
                "Evo2, which [evoptim found](../discovery/README.md). "
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
        "- A bounded step whatever the gradient: Opt7, Opt10, Lion, Evo2; nearly so Opt8; per "
        "tensor AdamClip4.\n"
        "- Insensitive to the gradient's scale: Lion, and Evo2 below 1. All others want rates that "
        "follow it, as SGD does; Adam's rates do not carry over.\n"
        "- One state tensor, half of Adam's: Opt4 to Opt8, Opt10, PowerSign, AddSign, Lion, "
        "Evo1.\n"
        "- Not for large gradients: Opt4 and Opt5, whose steps grow exponentially with them.\n"
        "- Decays are functions of t/T and need `total_steps`."
    )
