"""How torch writes an operation on lists of tensors."""

from __future__ import annotations

from types import MappingProxyType

from evoptim.exporter.dialect import Dialect
from evoptim.exporter.text import Template, Text

_ONE = ("neg", "abs", "sign", "sqrt", "exp", "log", "sigmoid", "tanh", "atan", "erf", "erfc",
        "reciprocal")  # fmt: skip
_TWO = ("add", "sub", "mul", "div", "maximum", "minimum", "pow")
_WITH_NUMBER = {
    "add_scalar": "add",
    "sub_scalar": "sub",
    "mul_scalar": "mul",
    "div_scalar": "div",
    "clamp_min": "clamp_min",
    "clamp_max": "clamp_max",
}
# torch has no foreach form of these.
_BY_LOOP = {
    "asinh": "[_asinh(x) for x in {0}]",
    "i1e": "[torch.special.i1e(x) for x in {0}]",
    "sum": "[torch.sum(x) for x in {0}]",
    "full": "[torch.full_like(x, {c}) for x in w]",
    "drop": "_drop({0}, {source}, {c}, draw)",
}

TORCH_FOREACH = Dialect(
    expressions=MappingProxyType(
        {
            **{name: Template(f"torch._foreach_{name}({{0}})") for name in _ONE},
            **{name: Template(f"torch._foreach_{name}({{0}}, {{1}})") for name in _TWO},
            **{
                name: Template(f"torch._foreach_{function}({{0}}, {{c}})")
                for name, function in _WITH_NUMBER.items()
            },
            "add_scaled": Template("torch._foreach_add({0}, {1}, alpha={c})"),
            **{name: Template(text) for name, text in _BY_LOOP.items()},
        }
    ),
    in_place=MappingProxyType(
        {
            "mul_scalar": "torch._foreach_mul_({x}, {c})",
            "add": "torch._foreach_add_({x}, {1})",
            "sub": "torch._foreach_sub_({x}, {1})",
            "add_scaled": "torch._foreach_add_({x}, {1}, alpha={c})",
        }
    ),
    in_place_varying=MappingProxyType(
        {
            "mul_scalar": "torch._foreach_mul_({x}, {c})",
            "add_scaled": "_foreach_add_scaled({x}, {1}, {c})",
        }
    ),
    store="torch._foreach_copy_({x}, {0})",
    shrink="if shrink is not None:\n    torch._foreach_mul_({x}, shrink)",
    correction=Text("[1 - {beta}**n for n in counts]"),
    terms=MappingProxyType({}),
    width=56,
    argument=32,
)
"""The same operations in the same order, each over all tensors at once."""
