"""One evolved optimizer as the page shows it: formulas, state, schedules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from evoptim.analysis import Result
from evoptim.config import RunConfig
from evoptim.decay import Decay
from evoptim.genome import Genome, Momentum, StateSlot, latex
from evoptim.records import ArchiveEntry
from evoptim.report.figures import decays_figure, rates_figure
from evoptim.report.formula import mathml
from evoptim.report.parentheses import tidy
from evoptim.schedule import learning_rate_factors

_MOMENTUM = {
    Momentum.NONE: "No momentum",
    Momentum.HEAVY_BALL: "Heavy-ball momentum",
    Momentum.NESTEROV: "Nesterov momentum",
}
BASELINE_TENSORS = {"sgd": 0, "momentum": 1, "nesterov": 1, "rmsprop": 1, "adam": 2, "adamw": 2}
"""State tensors that torch's implementations keep for each weight tensor, step counts left out."""

_LINEAR_ROOTS = ("identity", "neg")


@dataclass(frozen=True)
class Formula:
    """A genome, typeset and as text."""

    update: Markup
    decays: tuple[Markup, ...]
    movement: Markup
    text: str
    latex: str


@dataclass(frozen=True)
class Drawing:
    """The decay functions and the learning rate of one optimizer."""

    name: str
    decays: Markup | None
    formulas: tuple[Markup, ...]
    rates: Markup | None
    """None where the base schedule, which the champion's drawing shows, says it all."""
    learned: bool
    """Whether a decay scales the whole update."""
    exact: bool
    """Whether it does so exactly, because the outermost operator is linear."""


@dataclass(frozen=True)
class OptimizerView:
    """Everything that the page says about one of the best optimizers."""

    result: Result
    formula: Formula
    momentum: str
    sign: int
    slots: tuple[StateSlot, ...]
    change: str | None


def genome_of(entry: ArchiveEntry) -> Genome:
    """The genome behind an archive entry of an evolved optimizer."""
    return Genome.from_json(entry.candidate.gene or {})


def formula_of(genome: Genome) -> Formula:
    """Typeset a genome."""
    return Formula(
        update=mathml(tidy(f"u_t = {latex.update(genome)}"), block=True),
        decays=tuple(mathml(tidy(each), block=True) for each in latex.decays(genome)),
        movement=mathml(latex.movement(genome), block=True),
        text=str(genome),
        latex=tidy(genome.to_latex()),
    )


def view_of(result: Result, entry: ArchiveEntry) -> OptimizerView:
    """Prepare one of the best optimizers for the page."""
    genome = genome_of(entry)
    return OptimizerView(
        result=result,
        formula=formula_of(genome),
        momentum=_MOMENTUM[genome.momentum],
        sign=genome.sign,
        slots=genome.state_slots(),
        change=entry.candidate.change,
    )


def drawing_of(
    result: Result, entry: ArchiveEntry, config: RunConfig, *, champion: bool
) -> Drawing:
    """Draw an optimizer's decay functions and its learning rate in the full training."""
    genome, schedule = genome_of(entry), config.protocol.training.schedule
    total = schedule.total_steps
    figures = f"{entry.rank}"
    scaling = _root_decay(genome)
    base = learning_rate_factors(total, schedule.warmup_steps, schedule.hold_steps)
    values = [decay.values(total) for decay in genome.decays()]
    return Drawing(
        name=result.name,
        decays=decays_figure(f"decays-{figures}", values, total) if values else None,
        formulas=tuple(mathml(tidy(each)) for each in latex.decays(genome)),
        rates=None
        if result.rate is None or not (scaling or champion)
        else rates_figure(f"rates-{figures}", base, _scaled(base, scaling), result.rate),
        learned=scaling is not None,
        exact=genome.root.operator in _LINEAR_ROOTS,
    )


def _root_decay(genome: Genome) -> Decay | None:
    """The decay on the only edge of a unary root."""
    return genome.root.edges[0].decay if len(genome.root.edges) == 1 else None


def _scaled(base: Sequence[float], decay: Decay | None) -> list[float] | None:
    if decay is None:
        return None
    return [rate * factor for rate, factor in zip(base, decay.values(len(base)), strict=True)]
