"""The page of the evolved learning-rate schedules."""

from __future__ import annotations

import inspect
import re

from evoptim import zoo
from evoptim.schedule import learning_rate_factors
from gallery.facts import markdown
from gallery.places import image


def schedules_page() -> str:
    """The nine evolved learning-rate schedules."""
    lines = ["| kind | factor | peak | shape |", "|---|---|---|---|"]
    for kind, schedule in zoo.SCHEDULES.items():
        shape = markdown((inspect.getdoc(schedule) or "").split("\n\n")[0].split("\n")[0])
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
                image("schedules", "The nine evolved schedules, each beside the base schedule"),
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
