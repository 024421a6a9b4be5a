"""The documentation is true: its tables are complete and its Python runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import yaml

from evoptim.config import preset
from evoptim.config.reading import read_config
from evoptim.decay import DECAY_OPERATORS, PRIMITIVES
from evoptim.operands import OPERANDS
from evoptim.operators import BINARY, UNARY

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def test_search_space_page_lists_every_symbol() -> None:
    page = (ROOT / "docs/search-space.md").read_text().replace("\\|", "|")
    rows = (*UNARY.values(), *BINARY.values(), *DECAY_OPERATORS.values())
    symbols = [*OPERANDS, *PRIMITIVES, *(row.symbol for row in rows)]
    assert [symbol for symbol in symbols if f"`{symbol}`" not in page] == []


def run_example(page: str, number: int) -> dict[str, object]:
    code = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)[number]
    names: dict[str, object] = {}
    exec(compile(code, page, "exec"), names)  # the repository's own text
    return names


def test_the_drop_in_example_is_three_lines_that_run() -> None:
    assert isinstance(run_example("README.md", 0)["optimizer"], torch.optim.Optimizer)
    code = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]
    assert len([line for line in code.splitlines() if line]) == 3


def test_the_example_with_a_schedule_of_ones_own_runs() -> None:
    scheduler = run_example("docs/optimizers.md", 0)["scheduler"]
    assert isinstance(scheduler, torch.optim.lr_scheduler.LRScheduler)
    assert scheduler.last_epoch == 100


def test_the_readme_example_of_a_formula_trains() -> None:
    names = run_example("README.md", 1)
    loss = names["loss"]
    assert isinstance(loss, torch.Tensor)
    # The target is 0: a model that has not moved has a loss of about 1/3.
    assert loss.item() < 0.1


@pytest.mark.parametrize("page", ["README.md", "docs/configuration.md"])
def test_quickstart_is_as_large_as_it_says(page: str) -> None:
    search = preset("quickstart").search
    candidates = search.initial + search.generations * search.particles * search.children
    assert f"{candidates} candidates" in (ROOT / page).read_text()


def test_configuration_example_is_a_configuration() -> None:
    page = (ROOT / "docs/configuration.md").read_text()
    text = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)[0]
    assert read_config(text).search.initial == yaml.safe_load(text)["search"]["initial"]


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{p.name}" for p in ROOT.glob("docs/*.md"))])
def test_links_between_pages_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []
