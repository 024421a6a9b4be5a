"""What a search says of itself where no terminal is, and how it names its run."""

from __future__ import annotations

import io
import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from evoptim.cli import view as view_module
from evoptim.cli.options import default_run_name
from evoptim.cli.output import number, percent, sparkline
from evoptim.cli.view import View
from evoptim.store.layout import check_run_name
from evoptim.verbs import Status


@pytest.mark.parametrize(
    ("config", "preset", "task", "name"),
    [
        (None, None, None, "quickstart-s3"),
        (None, "paper-init", None, "paper-init-s3"),
        (None, None, "cifar10", "quickstart-cifar10-s3"),
        (Path("some/My Run_2.yaml"), None, None, "my-run-2-s3"),
        (Path("_.yaml"), None, None, "s3"),
        (Path("ünï.yaml"), None, None, "n-s3"),
        (Path(f"{'long' * 40}.yaml"), None, None, None),
    ],
)
def test_a_run_is_named_after_what_it_starts_from(
    config: Path | None, preset: str | None, task: str | None, name: str | None
) -> None:
    found = default_run_name(config, preset, task, 3)
    assert name is None or found == name
    assert check_run_name(found).endswith("s3")


def status(done: int, stage: str | None = "generation 1", best: float | None = None) -> Status:
    return Status(done, 20, failed=0, best=best, stage=stage, share=done / 20)


@pytest.fixture
def view(monkeypatch: pytest.MonkeyPatch) -> View:
    """A view on a pipe, whose clock stands a minute later at every look."""
    console = Console(file=io.StringIO(), width=100)
    monkeypatch.setattr(view_module, "console", console)
    clock = itertools.count(step=60)
    monkeypatch.setattr(view_module.time, "monotonic", lambda: float(next(clock)))
    return View("run")


def test_a_pipe_gets_a_plain_line_with_an_estimate(
    view: View, capsys: pytest.CaptureFixture[str]
) -> None:
    with view:
        view.status(status(0, stage=None))
        view.status(status(10, best=0.5))
        view.status(status(20, best=0.625))
    first, second, third = capsys.readouterr().err.splitlines()
    assert first == "starting: 0 of 20 evaluations"
    assert second.startswith("generation 1: 10 of 20 evaluations, about ")
    assert second.endswith(" s left, best 50.0%")
    assert third == "writing the report: 20 of 20 evaluations, about 0 s left, best 62.5%"


def test_the_estimate_counts_no_evaluation_that_was_there_before(
    view: View, capsys: pytest.CaptureFixture[str]
) -> None:
    with view:
        for done in (18, 18, 19):
            view.status(status(done))
    first, second, third = capsys.readouterr().err.splitlines()
    # Eighteen at once tell nothing about the two that are missing.
    assert "left" not in first
    assert "left" not in second
    seconds = int(third.split("about ")[1].split(" s left")[0])
    assert seconds >= 60


def test_the_estimate_is_by_training_and_not_by_evaluations(
    view: View, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nineteen of twenty evaluations, but half of the training is left: the finals."""
    with view:
        view.status(status(0))
        view.status(replace(status(19), share=0.5))
    _, second = capsys.readouterr().err.splitlines()
    assert "19 of 20 evaluations" in second
    seconds = int(second.split("about ")[1].split(" s left")[0])
    # A look takes the clock of this view a minute or two on.
    assert seconds >= 60


def test_what_is_kept_is_said_even_before_anything_was_seen(view: View) -> None:
    assert view.kept() == "What is finished is kept."
    view.status(status(7))
    assert view.kept() == "7 of 20 evaluations are kept."


def test_numbers_are_written_as_people_write_them() -> None:
    assert (percent(0.98765), percent(None)) == ("98.8%", "–")
    assert (number(1e-5), number(0.1), number(None)) == ("1e-05", "0.1", "–")


def test_a_sparkline_shows_each_end_and_bounds_what_is_outside() -> None:
    assert sparkline([0.0, 0.5, 1.0], width=3) == "▁▅█"
    assert sparkline([-3.0, 7.0], width=2) == "▁█"
    assert len(sparkline([0.5] * 200)) == 48
