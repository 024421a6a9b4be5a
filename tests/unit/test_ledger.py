"""The ledger: what a run spent per outcome, phase and screen, from its records alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_run import (
    baseline_candidate,
    evaluation,
    genome_candidate,
    sample_config,
    sample_run,
    stage_of,
)
from torch.utils.flop_counter import FlopCounterMode

from evoptim.analysis import Images, StageResult, account, step_flops, summarise
from evoptim.cli.output import ledger_line
from evoptim.config import Racing, RunConfig
from evoptim.config.presets import paper_evolution_protocol, quickstart_protocol
from evoptim.records import Candidate, Candidates, Evaluation, Outcome, Place, Probe
from evoptim.report import ReportInputs, render
from evoptim.tasks import ConvNet

CONFIG = sample_config(seeds=(0, 1))
OWN = CONFIG.protocol.content_id()
LEAVES = ("g", "v hat", "s hat", "lam hat", "g^2", "g^3")


def genome(number: int, **more: object) -> Candidate:
    return genome_candidate(f"None ~ tanh({LEAVES[number]})", number, **more)


def a_stage(
    *pairs: tuple[Candidate, Evaluation | None], generation: int = 0, protocol: str = OWN
) -> StageResult:
    candidates = tuple(each for each, _ in pairs)
    return stage_of(
        generation,
        Candidates(protocol=protocol, candidates=candidates),
        [record for _, record in pairs],
    )


def trained(candidate: Candidate, fitness: float | None = 0.9, **more: object) -> Evaluation:
    return evaluation(candidate.id, OWN, fitness, seeds=(0, 1), **more)  # type: ignore[arg-type]


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 1_000),
    st.floats(0.0, 1.0),
    st.booleans(),
    st.integers(1, 3),
)
def test_its_sums_are_those_of_the_records(
    seed: int, failures: float, initial_protocol: bool, seeds: int
) -> None:
    config = sample_config(
        initial=8, generations=2, seeds=tuple(range(seeds)), initial_protocol=initial_protocol
    )
    run = sample_run(config, seed=seed, failure_share=failures)
    found = account(config, run.stages)
    records = [each for each in run.drawn.values() if each.outcome is not Outcome.MISSING]
    steps = sum(each.steps for each in records)
    assert found.total.evaluations == len(records)
    assert found.total.steps == steps
    assert found.total.training_steps == sum(
        training.steps for each in records for training in each.trainings
    )
    assert math.isclose(
        found.total.seconds, math.fsum(each.cost.seconds for each in records), rel_tol=1e-9
    )
    last = config.finals_protocol().content_id()
    parts = [*(each.spent for each in found.outcomes), found.finals]
    assert sum(each.evaluations for each in parts) == len(records)
    assert sum(each.steps for each in parts) == steps
    assert math.isclose(sum(each.seconds for each in parts), found.total.seconds, rel_tol=1e-9)
    assert found.genomes.steps + found.finals.steps == steps
    for each in found.outcomes:
        ended = [r for r in records if r.outcome is each.outcome and r.protocol != last]
        assert each.spent.evaluations == len(ended)
        assert each.spent.steps == sum(record.steps for record in ended)
    failed = sum(each.steps for each in records if each.outcome.failed and each.protocol != last)
    if found.waste is not None:
        assert math.isclose(found.waste, failed / found.genomes.steps)


def test_an_evaluation_counts_once_however_often_it_is_met() -> None:
    one = a_stage((genome(0), trained(genome(0))), (genome(1), None))
    found = account(CONFIG, [one, one], reused=1)
    # Seven probes of 48 steps, then two trainings of 300.
    assert (found.total.evaluations, found.total.steps) == (1, 336 + 600)
    assert (found.total.rate_steps, found.total.training_steps) == (336, 600)
    assert found.total.rate_seconds == pytest.approx(2.0 * 336 / 936)
    assert (found.missing, found.reused, found.devices) == (2, 1, ("cpu",))


def test_a_duplicate_costs_nothing_and_saves_what_its_twin_took() -> None:
    first = genome(0)
    twin = genome(1, same_as=first.id, twin=Place(generation=0, index=0))
    record = trained(first)
    shared = record.model_copy(update={"subject": twin.id})
    found = account(CONFIG, [a_stage((first, record), (twin, shared))])
    assert (found.total.evaluations, found.duplicates) == (1, 1)
    (screen,) = found.screens
    assert (screen.name, screen.turned_away) == ("duplicates", 1)
    assert (screen.saved_steps, screen.saved_seconds) == (record.steps, record.cost.seconds)


def test_draws_that_were_no_candidates_are_those_that_integrity_turned_away() -> None:
    found = account(
        CONFIG,
        [a_stage(*((genome(n, draws=d), trained(genome(n))) for n, d in enumerate((1, 4, 2))))],
    )
    assert [(each.name, each.turned_away) for each in found.screens] == [("integrity", 0 + 3 + 1)]


def test_races_and_hopeless_trainings_saved_at_most_what_they_left_out() -> None:
    sweep = CONFIG.protocol.sweep.model_copy(update={"racing": Racing()})
    protocol = CONFIG.protocol.model_copy(update={"sweep": sweep})
    config = CONFIG.model_copy(update={"protocol": protocol})
    key = protocol.content_id()
    record = evaluation(genome(0).id, key, 0.9, seeds=(0,), seconds=6.36)
    cut = Probe(rate=0.1, accuracies=(0.2,), stopped="outpaced")
    stopped = record.model_copy(
        update={"outcome": Outcome.STOPPED, "fitness": None, "probes": (*record.probes, cut)}
    )
    found = account(config, [a_stage((genome(0), stopped), protocol=key)])
    saved = {each.name: each for each in found.screens}
    # Three of four epochs of 12 steps; the second seed's 300 steps. A step took 10 ms.
    assert (saved["racing"].turned_away, saved["racing"].saved_steps) == (1, 36)
    assert (saved["hopeless"].turned_away, saved["hopeless"].saved_steps) == (1, 300)
    assert saved["hopeless"].saved_seconds == pytest.approx(3.0)
    assert found.waste == found.stopped_share == 1.0


@pytest.mark.parametrize(
    ("outcomes", "waste", "stopped", "said"),
    [
        ([Outcome.TRAINED], 0.0, 0.0, "0.0% of the genomes' optimizer steps"),
        ([Outcome.TRAINED, Outcome.DIVERGED], 336 / 1272, 0.0, "26.4% of the genomes'"),
        # It has a fitness, that of its best epoch.
        ([Outcome.TRAINED, Outcome.COLLAPSED], 0.0, 0.0, "0.0% of the genomes'"),
        ([Outcome.REFUSED], None, None, "No genome was trained"),
        ([Outcome.TRAINED, Outcome.STOPPED], 0.5, 0.5, "without these it is 0.0%"),
    ],
)
def test_waste_is_the_share_of_steps_that_left_no_fitness(
    outcomes: Sequence[Outcome], waste: float | None, stopped: float | None, said: str
) -> None:
    pairs = []
    for number, outcome in enumerate(outcomes):
        with_fitness = not outcome.failed or outcome is Outcome.STOPPED
        record = trained(genome(number), 0.9 if with_fitness else None, outcome=outcome)
        if outcome is Outcome.REFUSED:
            record = record.model_copy(update={"steps": 0})
        pairs.append((genome(number), record))
    # Baselines have no part in it.
    pairs.append((baseline_candidate("adam", 5), trained(baseline_candidate("adam"))))
    found = account(CONFIG, [a_stage(*pairs)])
    assert found.waste == (None if waste is None else pytest.approx(waste))
    assert found.stopped_share == (None if stopped is None else pytest.approx(stopped))
    assert said in found.waste_text


@pytest.mark.parametrize(
    ("protocol", "shape", "classes"),
    [
        (quickstart_protocol(), (1, 8, 8), 10),
        (paper_evolution_protocol(), (3, 32, 32), 10),
        (quickstart_protocol("imagefolder"), (3, 17, 30), 3),
    ],
)
def test_flops_are_those_that_torch_counts(
    protocol: object, shape: tuple[int, int, int], classes: int
) -> None:
    model = protocol.model  # type: ignore[attr-defined]
    network = ConvNet(shape[0], classes, model.base_width, model.dropout, torch.Generator())
    with FlopCounterMode(display=False) as forward:
        network(torch.zeros(2, *shape))
    images = protocol.batch_size / 2  # type: ignore[attr-defined]
    counted = step_flops(protocol, shape, classes)  # type: ignore[arg-type]
    assert counted == pytest.approx(3 * images * forward.get_total_flops())
    # Gradients of the images are not needed, so that three times is a little too much.
    with FlopCounterMode(display=False) as step:
        network(torch.zeros(2, *shape)).sum().backward()
    assert 0.7 * counted < images * step.get_total_flops() <= counted


def test_flops_are_those_of_each_protocol_and_none_where_images_are_unknown() -> None:
    config = sample_config(initial_protocol=True)
    assert config.initial_protocol is not None
    initial = config.initial_protocol.content_id()
    own = config.protocol.content_id()
    stages = [
        a_stage((genome(0), evaluation(genome(0).id, initial, 0.8)), protocol=initial),
        a_stage((genome(1), evaluation(genome(1).id, own, 0.9)), generation=1, protocol=own),
    ]
    found = account(config, stages, (1, 8, 8), 10).total
    steps = 336 + 300
    each = [step_flops(p, (1, 8, 8), 10) for p in (config.initial_protocol, config.protocol)]
    assert found.flops == pytest.approx(steps * sum(each))
    assert each[1] == 2 * each[0]
    assert account(config, stages).total.flops is None


def test_it_is_in_the_summary_the_report_and_the_last_line() -> None:
    config = sample_config()
    images = Images(train=997, validation=400, test=400, shape=(1, 8, 8), classes=10)
    run = sample_run(config)
    first = run.stages[1].candidates.candidates[0]
    found = summarise("r", config, run.stages, images)
    html = render(ReportInputs("r", config, run.stages, run.populations, run.drawn, images))
    assert 'id="ledger"' in html
    assert 'href="#ledger"' in html
    assert found.ledger.waste_text.partition("'")[0] in html
    assert first.formula
    line = ledger_line(found.ledger)
    assert f"{found.ledger.total.steps:,} optimizer steps" in line
    assert f"{found.ledger.waste:.1%} of the genomes' steps spent on failures" in line
    assert "FLOPs" in line
    assert "\n" not in line


def test_an_empty_run_has_an_empty_ledger() -> None:
    found = account(RunConfig.model_validate(CONFIG.model_dump()), [])
    assert (found.total.steps, found.waste, found.screens, found.outcomes) == (0, None, (), ())
    assert "Nothing was evaluated" in render(ReportInputs("r", CONFIG, ()))
