"""The page of an optimizer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import torch

from evoptim import zoo
from evoptim.update import Formula
from gallery.descent import PATH_STEPS
from gallery.entries import ENTRIES
from gallery.facts import (
    formula_of,
    genome_of,
    has_curves,
    intended_genome,
    measured,
    notes,
    range_words,
    reason,
    rows,
    state_words,
    title,
)
from gallery.places import image


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
        *([_block(entry.momentum)] if entry.momentum else []),
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
        image(f"{name}-rates", f"Validation accuracy of {title(name)} and Adam by learning rate"),
        _rates_table(name),
        _rates_words(),
        "## Schedule and decays",
        *_schedule_words(name),
        "## Trajectories",
        image(
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
        yield image("base", "The base schedule over training progress")
        yield "It has no decays: with `total_steps` the rate follows the base schedule."
        return
    yield image(f"{name}-schedule", f"Rate and decays of {title(name)} over training progress")
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
