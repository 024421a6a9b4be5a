"""How benchmarks/discoveries.py measures again what a search found."""

from __future__ import annotations

from pathlib import Path

import discoveries
import pytest
from discoveries import CONFIG, SEEDS, TUNING, Measured, Plan, fresh, longer, measure, table
from rich.console import Console
from tiny_run import tiny_config

from evoptim.config.reading import read_config


@pytest.mark.parametrize("name", [*discoveries.DISCOVERIES, "adamw"])
def test_the_rate_is_chosen_around_that_of_a_sweep_and_every_seed_tested(
    name: str, tmp_path: Path
) -> None:
    protocol = fresh(tiny_config().protocol)
    found = measure(Plan(str(tmp_path), protocol), name)
    swept = [rate for group in protocol.sweep.rates for rate in group]
    steps = range(-TUNING.rates, TUNING.rates)
    around = [rate * 10 ** (step / TUNING.per_decade) for rate in swept for step in steps]
    # Three digits of a rate are kept.
    assert any(found.rate == pytest.approx(rate, rel=5e-3) for rate in around)
    assert len(found.test) == len(found.validation) == len(SEEDS)
    assert protocol.task.test is not None
    hits = [each * protocol.task.test for each in found.test]
    assert hits == pytest.approx([round(each) for each in hits])
    assert max(hits) > 0


def test_seeds_chose_nothing_before() -> None:
    config = read_config(CONFIG.read_text())
    assert config.finals.tuning is not None
    used = {*config.protocol.seeds, *config.finals.seeds, *config.finals.tuning.seeds}
    assert len({*SEEDS, *TUNING.seeds} - used) == len(SEEDS) + len(TUNING.seeds)


def test_a_longer_training_has_the_same_shape() -> None:
    protocol = read_config(CONFIG.read_text()).protocol
    training = longer(protocol, 4).training
    assert training.schedule.total_steps == 4 * protocol.training.schedule.total_steps
    assert training.epochs * training.steps_per_epoch == training.schedule.total_steps
    assert longer(protocol, 1) == protocol


def test_the_table_has_the_lead_over_each_baseline() -> None:
    ours = Measured("evo1", 10.0, (0.5, 0.6, 0.55), (0.5, 0.6, 0.55))
    adamw = Measured("adamw", 0.01, (0.4, 0.6, 0.5), (0.49, 0.58, 0.52))
    console = Console(width=110, record=True)
    console.print(table([ours, adamw], "evo1"))
    text = console.export_text()
    assert "+2.00 (-0.48 to 4.48)" in text
    assert "0.0742" in text
