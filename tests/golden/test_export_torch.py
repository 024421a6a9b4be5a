"""An exported torch file computes what evoptim computes, to the last bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from exported import SCHEDULE, first_difference, genomes, load, subjects, train

GENOMES = 50
OPTIONS: list[tuple[dict[str, Any], torch.dtype]] = [
    ({}, torch.float32),
    ({"foreach": True}, torch.float32),
    ({"weight_decay": 0.01}, torch.float64),
    ({"weight_decay": 0.01, "decoupled_weight_decay": True}, torch.float32),
    ({"maximize": True}, torch.bfloat16),
    ({"maximize": True, "weight_decay": 0.03, "foreach": True}, torch.bfloat16),
    ({"weight_decay": 0.03, "decoupled_weight_decay": True, "foreach": True}, torch.float64),
    ({"lr": torch.tensor(0.05)}, torch.float32),
    ({"base_schedule": False}, torch.float32),
]


def compare(number: int, every: int = 1) -> None:
    """Compare every so many subjects under the numbered options."""
    changed, dtype = OPTIONS[number]
    options = {"lr": 0.05, **SCHEDULE, **changed}
    differing = []
    for subject, own in subjects(GENOMES)[::every]:
        exported = load(subject)
        want, _ = train(lambda params: own(params, **options), dtype)  # noqa: B023
        got, _ = train(lambda params: exported(params, **options), dtype)  # noqa: B023
        step = first_difference(want, got)
        if step is not None:
            differing.append((subject.provenance, step))
    assert differing == []


def test_two_hundred_steps_are_the_same_to_the_last_bit() -> None:
    compare(0, every=3)


@pytest.mark.parametrize("number", range(1, len(OPTIONS)))
def test_so_are_they_under_every_option(number: int) -> None:
    compare(number, every=11)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(OPTIONS)))
def test_so_is_everything_under_every_option(number: int) -> None:
    compare(number)


def test_the_genomes_keep_state_draw_and_normalise() -> None:
    texts = [str(genome) for genome in genomes(GENOMES)]
    for symbol in ("expMovAvg(", "deltaChange(", "MaxValue(", "drop(", "norm(", "lam hat"):
        assert any(symbol in text for text in texts), symbol
