"""The last step: the archive, the summary, the champion and the report."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from evoptim.analysis import (
    LEADERS,
    Images,
    Scored,
    StageResult,
    Summary,
    build_archive,
    finals_held,
    leaders,
)
from evoptim.analysis import champion as best_of
from evoptim.config import RunConfig
from evoptim.errors import InputError
from evoptim.evolution import check_complete
from evoptim.genome import Genome
from evoptim.records import Archive, Evaluation, Population
from evoptim.steps.reading import OnRead, open_generation, read, read_config, read_stages
from evoptim.steps.twins import evaluated_at
from evoptim.store import MissingObjectError, Stage, Store, load, open_store, save
from evoptim.store.layout import (
    ReportFile,
    candidates_key,
    population_key,
    report_key,
)

if TYPE_CHECKING:
    from evoptim.report import ReportInputs


def report(store: str, run: str, patience: int = 0) -> str:
    """Write the files under ``report/`` once, when the run is finished.

    Args:
        store: URL of the store.
        run: Name of the run.
        patience: Also when it ended early: as for :func:`evoptim.steps.next_generation`.

    Returns:
        The report: one self-contained HTML text.

    Raises:
        InputError: there is no such run, it is unfinished, or one of its objects is broken.
        InfrastructureError: more evaluations are missing than the configuration allows.
    """
    from evoptim.report import render

    opened = open_store(store)
    page = report_key(run, "index.html")
    if not is_reported(opened, run):
        inputs = read_inputs(opened, run)
        _check_finished(opened, inputs, patience)
        save(opened, report_key(run, "archive.json"), inputs.archive)
        save(opened, report_key(run, "summary.json"), inputs.summary)
        _write_champion(opened, inputs)
        opened.put(page, render(inputs).encode())
    return opened.get(page).decode()


def is_reported(store: Store, run: str) -> bool:
    """Whether the report of a run is complete."""
    # A user may have removed one file because it was broken, as the error told him to.
    needed: tuple[ReportFile, ...] = ("index.html", "summary.json", "archive.json")
    return all(store.exists(report_key(run, name)) for name in needed)


def summary(store: str, run: str) -> dict[str, float]:
    """Scalars of a reported run, for a dashboard; accuracies are fractions.

    Raises:
        InputError: the run has no report yet.
    """
    found = _read_summary(open_store(store), run)
    values: dict[str, float | None] = {
        "candidates": found.candidates,
        "candidates with a fitness": found.scored,
        "optimizer steps": found.ledger.total.steps,
        "core seconds": found.ledger.core_seconds,
        "share of steps wasted": found.ledger.waste,
    }
    for name, best in (
        ("evolved", found.champion),
        ("baseline", next(iter(found.finals.baselines), None) if found.finals else None),
    ):
        if best is not None:
            values[f"best {name} validation accuracy"] = best.validation_accuracy
            values[f"best {name} test accuracy"] = best.test_accuracy
    return {name: float(value) for name, value in values.items() if value is not None}


def _read_summary(store: Store, run: str) -> Summary:
    return read(
        store,
        report_key(run, "summary.json"),
        Summary,
        f"the run {run!r} has no summary yet: run its report step first",
    )


def champion(store: str, run: str) -> tuple[str, dict[str, str | float]]:
    """The best evolved optimizer of a reported run.

    Returns:
        Its genome as JSON text, ``{}`` where every candidate failed, and what to show beside it:
        formula, accuracies (fractions), rate.

    Raises:
        InputError: the run has no report yet.
    """
    opened = open_store(store)
    best = _read_summary(opened, run).champion
    if best is None:
        return "{}\n", {"formula": "none: every candidate failed"}
    try:
        genome = opened.get(report_key(run, "champion.json")).decode()
    except MissingObjectError:
        genome = "{}\n"
    facts: dict[str, str | float | None] = {
        "formula": best.formula,
        "sign": float(best.sign),
        "peak learning rate": best.rate,
        "validation accuracy": best.validation_accuracy,
        "test accuracy": best.test_accuracy,
    }
    return genome, {name: value for name, value in facts.items() if value is not None}


def read_inputs(store: Store, run: str, on_read: OnRead | None = None) -> ReportInputs:
    """Everything that is known of a run so far.

    Args:
        store: The store.
        run: Name of the run.
        on_read: Called while evaluations are read.

    Raises:
        InputError: there is no such run, or one of its objects is broken.
    """
    # Only here: every task of a pipeline imports this module, and figures take a second to import.
    from evoptim.report import ReportInputs

    config = read_config(store, run)
    found = read_stages(store, run, config, on_read)
    images, parameters = _task_facts(config)
    return ReportInputs(
        run=run,
        config=config,
        stages=found,
        populations=_populations(store, run, config),
        drawn=_drawn(store, run, found, build_archive(run, config, found)),
        images=images,
        parameters=parameters,
    )


def _drawn(
    store: Store, run: str, found: Iterable[StageResult], archive: Archive
) -> dict[tuple[str, str], Evaluation]:
    """The whole records of those optimizers whose learning curves the report may draw."""
    compared = archive.finals if finals_held(archive) else leaders(archive, LEADERS)
    wanted = {(each.candidate.id, each.protocol) for each in compared}
    return {
        (scored.candidate.id, scored.protocol): load(store, _key(run, scored), Evaluation)
        for stage in found
        for scored in stage
        if scored.score is not None and (scored.candidate.id, scored.protocol) in wanted
    }


def _key(run: str, scored: Scored) -> str:
    last = scored.candidate.role in ("finalist", "baseline")
    stage = Stage.finals() if last else Stage.generation(scored.generation)
    return evaluated_at(run, stage, scored.candidate)


def _populations(store: Store, run: str, config: RunConfig) -> tuple[Population, ...]:
    populations = []
    for generation in range(config.search.generations + 1):
        try:
            populations.append(load(store, population_key(run, generation), Population))
        except MissingObjectError:
            break
    return tuple(populations)


def _task_facts(config: RunConfig) -> tuple[Images, int | None]:
    import torch

    from evoptim.tasks import ConvNet, load_task

    try:
        split = load_task(config.protocol.task)
    except InputError:
        # The data may be gone by the time that somebody reads the results.
        return Images(), None
    channels, height, width = split.train.images.shape[1:]
    images = Images(
        train=len(split.train),
        validation=len(split.validation),
        test=len(split.test),
        shape=(channels, height, width),
        classes=len(split.classes),
    )
    spec = config.protocol.model
    model = ConvNet(
        split.channels, len(split.classes), spec.base_width, spec.dropout, torch.Generator()
    )
    return images, sum(each.numel() for each in model.parameters() if each.requires_grad)


def _check_finished(store: Store, inputs: ReportInputs, patience: int) -> None:
    # What is written here is never changed, so that it must not come too early.
    generations, selected = inputs.config.search.generations, len(inputs.populations)
    compared = store.exists(candidates_key(inputs.run, Stage.finals()))
    if not compared or open_generation(store, inputs.run, inputs.config, patience) is not None:
        raise InputError(
            f"the run {inputs.run!r} is unfinished: {selected} of {generations + 1} generations "
            f"are selected, the finals {'' if compared else 'not '}begun; run the same search "
            "again, and see what there is with evoptim report"
        )
    for stage in inputs.stages:
        evaluations = {place: each for place, each in enumerate(stage.scores) if each}
        missing = inputs.config.max_missing_fraction
        check_complete(stage.candidates.candidates, evaluations, missing)


def _write_champion(store: Store, inputs: ReportInputs) -> None:
    from evoptim.report.champion import module

    champion, entry = inputs.summary.champion, best_of(inputs.archive)
    if champion is None or champion.rate is None or entry is None or entry.candidate.gene is None:
        return
    # The canonical form: what takes part in the update, without dormant material.
    genome = Genome.from_json(entry.candidate.gene).canonical()
    text = json.dumps(genome.to_json(), sort_keys=True, indent=1) + "\n"
    store.put(report_key(inputs.run, "champion.json"), text.encode())
    schedule = inputs.config.protocol.training.schedule
    share = schedule.warmup_steps / schedule.total_steps
    source = module(genome, inputs.run, champion.rate, share)
    store.put(report_key(inputs.run, "champion.py"), source.encode())
