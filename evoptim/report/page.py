"""The report: one HTML file that needs nothing else.

No script, no font, no image and no request: it opens offline and inside a sandboxed frame. All
text that comes from a run is escaped.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from itertools import islice
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from evoptim.analysis import (
    Step,
    champion_lineage,
    generation_curve,
    outcomes_by_generation,
)
from evoptim.records import ArchiveEntry, Outcome
from evoptim.report import wording
from evoptim.report.candidates import candidate_table, shortened
from evoptim.report.figures import (
    DECAY_LINES,
    accuracies_figure,
    accuracy_figure,
    fitness_figure,
    loss_figure,
    outcomes_figure,
)
from evoptim.report.inputs import ReportInputs
from evoptim.report.optimizer import (
    BASELINE_TENSORS,
    Drawing,
    OptimizerView,
    drawing_of,
    formula_of,
    genome_of,
    view_of,
)
from evoptim.report.palette import EVOLVED_LINES, OUTCOME_COLOURS, Line, css_variables
from evoptim.report.series import build_series
from evoptim.report.snippet import command, configuration, usage

MAX_ERRORS = 20
"""Errors that the page quotes; the records in the store have them all."""
MAX_ANCESTORS = 60
"""Steps of the line of descent up to the best optimizer: the origin, then the last ones."""
MAX_LATER = 20
"""Steps after the best optimizer."""


def render(inputs: ReportInputs) -> str:
    """The report as the text of one HTML file. The same inputs give the same bytes."""
    return _environment().get_template("page.html.j2").render(_context(inputs))


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("evoptim.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=wording.percent,
        precise=wording.precise,
        plus_minus=wording.plus_minus,
        place=wording.place,
        p_value=wording.p_value,
        ends=wording.ends,
        effect=wording.effect,
        points=wording.points,
        rate=wording.rate,
        count=wording.count,
        duration=wording.duration,
        power=wording.power,
        shortened=shortened,
        swatch=_swatch,
    )
    environment.globals["plural"] = wording.plural
    return environment


def _context(inputs: ReportInputs) -> dict[str, Any]:
    summary, archive = inputs.summary, inputs.archive
    series = build_series(inputs)
    entries = {each.candidate.id: each for each in archive.entries}
    comparable = [each for each in inputs.baselines if each.validation_accuracy is not None]
    own = inputs.config.protocol.content_id()
    line = champion_lineage(archive, inputs.populations)
    shown = _shown(line)
    return {
        "inputs": inputs,
        "config": inputs.config,
        "summary": summary,
        "champion": summary.champion,
        "champion_view": _champion_view(inputs, entries),
        "finals": summary.finals,
        "baselines": inputs.baselines,
        "best_baseline": comparable[0] if comparable else None,
        "css_variables": Markup(css_variables()),
        "baseline_tensors": BASELINE_TENSORS,
        "optimizers": [view_of(each, entries[each.id]) for each in inputs.best],
        "series": series,
        "accuracies": accuracies_figure(series) if _any_accuracy(inputs) else None,
        "fitness": _fitness(inputs),
        "has_initial_protocol": any(entry.protocol != own for entry in archive.entries),
        "lineage": [(step, formula_of(genome_of(step.entry))) for step in shown],
        "lineage_left_out": len(line) - len(shown),
        "curve_seeds": len(
            (inputs.config.protocol if summary.finals is None else inputs.config.finals).seeds
        ),
        "curves": [one for one in series if one.steps],
        "accuracy_curves": accuracy_figure(series),
        "loss_curves": loss_figure(series),
        "drawings": _drawings(inputs, entries),
        "decay_lines": DECAY_LINES,
        "outcome_figure": outcomes_figure(outcomes_by_generation(inputs.stages)),
        "outcome_colours": OUTCOME_COLOURS,
        "table": candidate_table(archive, own),
        "ranks": {entry.candidate.id: entry.rank for entry in archive.entries},
        "errors": _errors(inputs),
        "usage": _usage(inputs, entries),
        "command": command(inputs),
        "configuration": configuration(inputs),
    }


def _shown(line: tuple[Step, ...]) -> tuple[Step, ...]:
    """The origin, and the steps around the best optimizer."""
    later = [step for step in line if step.kind == "later"]
    ancestry = line[: len(line) - len(later)]
    if len(ancestry) > MAX_ANCESTORS:
        ancestry = (ancestry[0], *ancestry[len(ancestry) - MAX_ANCESTORS + 1 :])
    return (*ancestry, *later[:MAX_LATER])


def _any_accuracy(inputs: ReportInputs) -> bool:
    results = (*inputs.best, *inputs.baselines)
    return any(result.validation_accuracy is not None for result in results)


def _champion_view(
    inputs: ReportInputs, entries: Mapping[str, ArchiveEntry]
) -> OptimizerView | None:
    champion = inputs.summary.champion
    return None if champion is None else view_of(champion, entries[champion.id])


def _fitness(inputs: ReportInputs) -> Markup | None:
    points = generation_curve(inputs.config.protocol.content_id(), inputs.stages)
    if not any(point.scored for point in points):
        return None
    return fitness_figure(points)


def _drawings(inputs: ReportInputs, entries: Mapping[str, ArchiveEntry]) -> list[Drawing]:
    """Those of the drawn optimizers that have a decay; of the champion in any case."""
    drawn = [
        drawing_of(each, entries[each.id], inputs.config, champion=place == 0)
        for place, each in enumerate(inputs.best[: len(EVOLVED_LINES)])
    ]
    return [one for place, one in enumerate(drawn) if place == 0 or one.decays is not None]


def _errors(inputs: ReportInputs) -> list[tuple[str, str]]:
    """Formula and message of the first evaluations that raised something."""
    raised = (
        (scored.candidate.formula, scored.score.message)
        for stage in inputs.stages
        for scored in stage
        if scored.score is not None
        and scored.score.message is not None
        and scored.outcome is Outcome.ERRORED
    )
    return list(islice(raised, MAX_ERRORS))


def _usage(inputs: ReportInputs, entries: Mapping[str, ArchiveEntry]) -> str | None:
    champion = inputs.summary.champion
    if champion is None or champion.rate is None:
        return None
    schedule = inputs.config.protocol.training.schedule
    return usage(
        genome_of(entries[champion.id]),
        champion.rate,
        schedule.warmup_steps / schedule.total_steps,
    )


def _swatch(line: Line) -> Markup:
    """A sample of the line, for legends."""
    dash = " ".join(f"{line.width * length:g}" for length in line.dash) or "none"
    return Markup(
        '<svg class="swatch" viewBox="0 0 30 8" aria-hidden="true"><path d="M1 4H29" '
        'style="stroke:var(--{});stroke-width:{};stroke-dasharray:{}"/></svg>'
    ).format(line.colour, line.width, dash)
