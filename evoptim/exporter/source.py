"""Fills the template of a target with a formula."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from evoptim.errors import InputError
from evoptim.exporter.curves import NUMPY_CURVES, TORCH_CURVES, CurveDialect, curve_lines
from evoptim.exporter.docstring import docstring, meanings
from evoptim.exporter.jax_leaf import JAX_LEAF
from evoptim.exporter.names import class_name, function_name
from evoptim.exporter.statements import statements, variable
from evoptim.exporter.subject import Subject
from evoptim.exporter.torch_foreach import TORCH_FOREACH
from evoptim.exporter.torch_single import TORCH_SINGLE
from evoptim.update import Options
from evoptim.update.rule import GRADIENT


def torch_source(subject: Subject, name: str | None = None) -> str:
    """One file with a ``torch.optim.Optimizer`` that depends on torch alone.

    On a CPU it computes what :class:`evoptim.optim.RuleOptimizer` computes, bit for bit.

    Args:
        subject: The optimizer.
        name: Name of the class; None for the subject's own.

    Raises:
        InputError: ``name`` cannot name a class.
    """
    own = class_name(name or subject.name)
    example = (
        f"optimizer = {own}(",
        f"    model.parameters(), lr={subject.rate:g}, total_steps=epochs * len(loader)",
        ")",
    )
    rule = subject.formula.rule(Options(decoupled=True))
    single = statements(rule, TORCH_SINGLE)
    return _fill(
        "torch.py.j2",
        subject,
        TORCH_CURVES,
        name=own,
        docstring=docstring(subject, example),
        single=single,
        multi=statements(rule, TORCH_FOREACH),
        uses_asinh=any("_asinh(" in line for line in single),
    )


def optax_source(subject: Subject, name: str | None = None) -> str:
    """One file with an ``optax.GradientTransformation`` that depends on jax and optax.

    Args:
        subject: The optimizer.
        name: Name of the function; None for the subject's own.

    Raises:
        InputError: ``name`` cannot name a function.
    """
    function = function_name(name or subject.name)
    example = (
        f"optimizer = {function}({subject.rate:g}, total_steps=epochs * batches)",
        "state = optimizer.init(params)",
        "updates, state = optimizer.update(gradients, state, params)",
        "params = optax.apply_updates(params, updates)",
    )
    leaf = statements(subject.formula.rule(Options(decoupled=True)), JAX_LEAF)
    return _fill(
        "optax.py.j2",
        subject,
        NUMPY_CURVES,
        name=class_name(name or subject.name),
        function=function,
        docstring=docstring(subject, example),
        leaf=leaf,
        # Whole words: "w" is also a letter of function names.
        leaf_reads_gradient=any(re.search(r"\bg\b", line) for line in leaf),
        reads_weight=any(re.search(r"\bw\b", line) for line in leaf),
    )


TARGETS: MappingProxyType[str, Callable[[Subject, str | None], str]] = MappingProxyType(
    {"torch": torch_source, "optax": optax_source}
)
"""What can be exported to."""


def source(subject: Subject, target: str, name: str | None = None) -> str:
    """The file of ``subject`` for ``target``, a key of :data:`TARGETS`.

    Raises:
        InputError: there is no such target, or ``name`` cannot stand in it.
    """
    if target not in TARGETS:
        raise InputError(f"there is no export to {target!r}; choose among {', '.join(TARGETS)}")
    return TARGETS[target](subject, name)


def _fill(template: str, subject: Subject, curve_dialect: CurveDialect, **values: Any) -> str:
    formula = subject.formula
    rule = formula.rule(Options(decoupled=True))
    kinds = {each.kind for each in rule.scalars}
    decays = [f"d{number}" for number in range(1, len(formula.curves) + 1)]
    curves = dict(zip(decays, formula.curves, strict=True))
    if formula.rate_curve is not None:
        curves["f"] = formula.rate_curve
    lines = curve_lines(curves, curve_dialect)
    return (
        _environment()
        .get_template(template)
        .render(
            formula=formula.name,
            summary=subject.summary,
            needs_horizon=formula.needs_horizon,
            sign=formula.sign,
            momentum="momentum" in kinds,
            corrected="correction" in kinds,
            reads_gradient=any(each.source == GRADIENT for each in rule.operations),
            stochastic=rule.stochastic,
            states=[
                {"name": each, "variable": variable(each), "meaning": meaning}
                for each, meaning in meanings(subject).items()
            ],
            decays=decays,
            rate_curve=formula.rate_curve is not None,
            curves=lines,
            helpers={each for line in lines for each in re.findall(r"\b_\w+", line)},
            **values,
        )
    )


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("evoptim.exporter"),
        # Python source, not markup.
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
