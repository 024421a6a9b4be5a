"""What classes, their docstrings and measured rates say of the optimizers."""

from __future__ import annotations

import functools
import inspect
import json
import re
from collections.abc import Mapping
from typing import Any

import torch

from evoptim import zoo
from evoptim.update import Formula
from evoptim.zoo import formulas
from gallery.entries import ENTRIES
from gallery.places import ZOO

VERDICTS = ("above", "level", "below")


def docstring(name: str) -> str:
    """The class's docstring."""
    return inspect.getdoc(zoo.OPTIMIZERS[name]) or ""


def state_words(name: str) -> str:
    """What it keeps, as its docstring says."""
    found = re.search(r"State: (.*?)\. Rates:", docstring(name), re.DOTALL)
    assert found is not None, name
    return " ".join(found[1].split())


def notes(name: str) -> list[str]:
    """The docstring's paragraphs after the formula, without what the page says elsewhere."""
    paragraphs = [" ".join(each.split()) for each in docstring(name).split("\n\n")[1:]]
    plain = [re.sub(r"(No decays\. )?State: .*| No decays\.$", "", each) for each in paragraphs]
    return [markdown(each).strip() for each in plain if each.strip()]


def markdown(text: str) -> str:
    """A docstring's marks as those of Markdown."""
    text = text.replace("``", "`")
    return re.sub(r":class:`(\w+)`", lambda m: f"[{m[1]}]({m[1].lower()}.md)", text)


@functools.cache
def measured() -> dict[str, Any]:
    """What benchmarks/zoo.py wrote."""
    document: dict[str, Any] = json.loads((ZOO / "rates.json").read_text(encoding="utf-8"))
    return document


def rows(name: str) -> list[dict[str, Any]]:
    """Its measured rows: without decays, then with them, where that differs."""
    return [row for row in measured()["rows"] if row["name"] == name]


def range_words(row: Mapping[str, Any]) -> str:
    """The measured rates that do as well as the best."""
    low, high = row["low"], row["high"]
    return f"about {low:g}" if low == high else f"{low:g} to {high:g}"


def docstring_range(name: str) -> str:
    """What the class's docstring says of its rates: with and without decays, where they differ."""
    ranges = [range_words(row) for row in rows(name)]
    return ranges[0] if len(set(ranges)) == 1 else f"{ranges[0]}, with decay {ranges[1]}"


def formula_of(name: str, decay: bool) -> Formula:
    """The formula that the class runs by default."""
    optimizer = zoo.create(name, [torch.zeros(1)], lr=1.0, total_steps=1, decay=decay)
    return optimizer.formula


def genome_of(formula: Formula) -> Any:
    """Its genome, if it is one."""
    return getattr(formula.direction, "genome", None)


def intended_genome(name: str) -> Any:
    """The genome of ``reading="intended"``, if there is one."""
    optimizer_class: Any = zoo.OPTIMIZERS[name]
    if name == "opt4" or "reading" not in inspect.signature(optimizer_class).parameters:
        return None
    return genome_of(optimizer_class.equation(False, "intended"))


def reason(name: str) -> str:
    """Why it is no genome, from the module that holds those that are none."""
    _, *points = re.split(r"\n\* ", formulas.__doc__ or "")
    index = ENTRIES[name].why
    assert index is not None, name
    return " ".join(points[index].split())


def title(name: str) -> str:
    """How it is written in text: that of its class."""
    return zoo.OPTIMIZERS[name].__name__


def has_curves(name: str) -> bool:
    """Whether more than the base schedule depends on progress."""
    return formula_of(name, True).needs_horizon or ENTRIES[name].momentum is not None
