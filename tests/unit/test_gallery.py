"""The gallery shows the zoo as it is: pages, figures, measured rates and examples."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import torch
from gallery.entries import ENTRIES
from gallery.facts import docstring_range
from gallery.pages import pages
from gallery.schedule_figures import schedule_figure

from evoptim import zoo

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "zoo"
PAGES = sorted(path.name for path in FOLDER.glob("*.md"))


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    name = "script_zoo"
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks/zoo.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _rows() -> list[dict[str, Any]]:
    document: dict[str, Any] = json.loads((FOLDER / "rates.json").read_text())
    rows: list[dict[str, Any]] = document["rows"]
    return rows


def test_there_is_a_page_for_every_optimizer_and_no_other() -> None:
    assert set(PAGES) == {"README.md", "schedules.md", *(f"{name}.md" for name in zoo.names())}
    assert tuple(ENTRIES) == zoo.names()


def test_pages_are_what_the_generator_writes() -> None:
    # Fails after a change of the zoo, of its docstrings or of the rates: run `make gallery`.
    stale = [name for name, text in pages().items() if (FOLDER / name).read_text() != text]
    assert stale == []


def test_a_schedule_figure_is_what_the_generator_draws() -> None:
    # Written under one version of matplotlib, read under another: the words, not the bytes.
    drawn, kept = schedule_figure("opt10"), (FOLDER / "images/opt10-schedule.svg")
    assert drawn == schedule_figure("opt10")
    assert _words(drawn) == _words(kept.read_text())


def _words(svg: str) -> list[str | None]:
    return [element.text for element in ET.fromstring(svg).iter() if element.tag.endswith("text")]


@pytest.mark.parametrize("page", PAGES)
def test_links_and_images_lead_somewhere(page: str) -> None:
    text = (FOLDER / page).read_text()
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", text) + re.findall(r'src="([^"]+)"', text)
    assert targets != []
    assert [target for target in targets if not (FOLDER / target).exists()] == []


def test_every_image_is_shown_and_small() -> None:
    text = "".join((FOLDER / page).read_text() for page in PAGES)
    images = list((FOLDER / "images").iterdir())
    assert [image.name for image in images if f"images/{image.name}" not in text] == []
    assert sum(image.stat().st_size for image in images) < 2_000_000


@pytest.mark.parametrize("page", PAGES)
def test_formulas_are_ones_that_github_typesets(page: str) -> None:
    text = (FOLDER / page).read_text()
    formulas = re.findall(r"\$\$\n(.*?)\n\$\$", text, re.DOTALL)
    formulas += re.findall(r"(?<!\$)\$([^$\n]+)\$(?!\$)", text)
    # GitHub refuses operatorname; Markdown takes a backslash before punctuation for an escape, and
    # a bar for the end of a table's cell.
    refused = re.compile(r"\\operatorname|\\[^A-Za-z]|\|")
    assert [formula for formula in formulas if refused.search(formula)] == []
    assert all(formula.count("{") == formula.count("}") for formula in formulas)


@pytest.mark.parametrize("page", PAGES)
def test_python_examples_train(page: str) -> None:
    code = re.findall(r"```python\n(.*?)```", (FOLDER / page).read_text(), re.DOTALL)
    assert len(code) == 1
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
    inputs = torch.randn(64, 8)
    targets = inputs[:, :1].sin()
    names: dict[str, Any] = {"model": model, "torch": torch}
    exec(compile(code[0], page, "exec"), names)  # the repository's own text

    def loss() -> torch.Tensor:
        return (model(inputs) - targets).square().mean()

    before = loss().item()
    for _ in range(250):
        names["optimizer"].zero_grad()
        loss().backward()
        names["optimizer"].step()
        if "scheduler" in names:
            names["scheduler"].step()
    # A quarter of the training, at the rate of another network: it has to learn, not to end.
    assert loss().item() < 0.5 * before


def test_rates_were_measured_for_every_optimizer_inside_of_the_grid() -> None:
    names = [row["name"] for row in _rows() if not row["decay"]]
    assert set(zoo.names()) <= set(names)
    assert len(names) == len(set(names))
    for row in _rows():
        grid = sorted(map(float, row["accuracies"]))
        assert grid[0] < row["low"] <= row["best"] <= row["high"] < grid[-1], row["name"]


@pytest.mark.parametrize("name", zoo.names())
def test_docstring_states_the_measured_range(name: str) -> None:
    words = " ".join((zoo.OPTIMIZERS[name].__doc__ or "").split())
    assert f"Rates: {docstring_range(name)}. Past" in words


def test_summary_of_the_benchmark_follows_from_its_accuracies(benchmark: ModuleType) -> None:
    for row in _rows():
        rates = [float(rate) for rate in row["accuracies"]]
        low, best, high = benchmark.plateau(rates, list(row["accuracies"].values()))
        assert (rates[low], rates[best], rates[high]) == (row["low"], row["best"], row["high"])


def test_plateau_ends_where_a_rate_does_worse(benchmark: ModuleType) -> None:
    # Means 90, 95, 95.4, 94, 95.2: the last is as good, but not next to the best.
    samples = [[mean - 0.1, mean, mean + 0.1] for mean in (90.0, 95.0, 95.4, 94.0, 95.2)]
    assert benchmark.plateau([1, 2, 3, 4, 5], samples) == (1, 2, 2)


def test_verdict_claims_nothing_that_noise_allows(benchmark: ModuleType) -> None:
    reference = [95.0, 96.0, 94.0]
    assert benchmark.verdict([96.0, 97.0, 95.0], reference) == "level"
    assert benchmark.verdict([99.0, 99.1, 98.9], reference) == "above"
    assert benchmark.verdict([50.0, 51.0, 49.0], reference) == "below"
    assert benchmark.verdict([95.3, 95.3, 95.3], [95.0, 95.0, 95.0]) == "level"
