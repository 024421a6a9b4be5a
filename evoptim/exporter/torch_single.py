"""How torch writes an operation on one tensor."""

from __future__ import annotations

from types import MappingProxyType

from evoptim.exporter.dialect import INFIX, Dialect
from evoptim.exporter.text import SUM, Template, Text

_CALLS = {
    "abs": "torch.abs({0})",
    "sign": "torch.sign({0})",
    "sqrt": "torch.sqrt({0})",
    "exp": "torch.exp({0})",
    "log": "torch.log({0})",
    "sigmoid": "torch.sigmoid({0})",
    "tanh": "torch.tanh({0})",
    "atan": "torch.atan({0})",
    "asinh": "_asinh({0})",
    "erf": "torch.erf({0})",
    "erfc": "torch.erfc({0})",
    "i1e": "torch.special.i1e({0})",
    "clamp_min": "torch.clamp({0}, min={c})",
    "clamp_max": "torch.clamp({0}, max={c})",
    "maximum": "torch.maximum({0}, {1})",
    "minimum": "torch.minimum({0}, {1})",
    "pow": "torch.pow({0}, {1})",
    "add_scaled": "torch.add({0}, {1}, alpha={c})",
    "sum": "torch.sum({0})",
    "full": "torch.full_like(w, {c})",
    "drop": "torch.where(draw(i, {source}, w) >= {c}, {0}, 0.0)",
}

TORCH_SINGLE = Dialect(
    expressions=MappingProxyType({**INFIX, **{k: Template(v) for k, v in _CALLS.items()}}),
    in_place=MappingProxyType(
        {
            "mul_scalar": "{x}.mul_({c})",
            "add": "{x}.add_({1})",
            "sub": "{x}.sub_({1})",
            "add_scaled": "{x}.add_({1}, alpha={c})",
        }
    ),
    in_place_varying=MappingProxyType(
        {"mul_scalar": "{x}.mul_({c})", "add_scaled": "_add_scaled({x}, {1}, {c})"}
    ),
    store="{x}.copy_({0})",
    shrink="if shrink is not None:\n    {x}.mul_(shrink)",
    correction=Text("1 - {beta}**n", SUM),
    terms=MappingProxyType({}),
    width=60,
    argument=32,
    chained=True,
)
"""``q = 0.3 * g + 0.7 * v_hat``: each operation as torch rounds it, so bit for bit the same."""
