"""How jax writes an operation on one array."""

from __future__ import annotations

from types import MappingProxyType

from evoptim.exporter.dialect import INFIX, Dialect
from evoptim.exporter.text import PRODUCT, SIGN, SUM, Template, Text

_CALLS = {
    "abs": "jnp.abs({0})",
    "sign": "jnp.sign({0})",
    "sqrt": "jnp.sqrt({0})",
    "exp": "jnp.exp({0})",
    "log": "jnp.log({0})",
    "sigmoid": "jax.nn.sigmoid({0})",
    "tanh": "jnp.tanh({0})",
    "atan": "jnp.arctan({0})",
    "asinh": "jnp.arcsinh({0})",
    "erf": "jax.scipy.special.erf({0})",
    "erfc": "jax.scipy.special.erfc({0})",
    "i1e": "jax.scipy.special.i1e({0})",
    "clamp_min": "jnp.maximum({0}, {c})",
    "clamp_max": "jnp.minimum({0}, {c})",
    "maximum": "jnp.maximum({0}, {1})",
    "minimum": "jnp.minimum({0}, {1})",
    "pow": "jnp.power({0}, {1})",
    "sum": "jnp.sum({0})",
    "full": "jnp.full_like(g, {c})",
    "drop": "_drop({0}, jax.random.fold_in(key, {source}), {c})",
}

JAX_LEAF = Dialect(
    expressions=MappingProxyType(
        {
            **INFIX,
            "add_scaled": Template("{0} + {c} * {1}", SUM, (SUM, SIGN), PRODUCT),
            **{k: Template(v) for k, v in _CALLS.items()},
        }
    ),
    in_place=MappingProxyType({}),
    in_place_varying=MappingProxyType({}),
    store="{x} = {0}",
    # 1 - beta^n loses half of float32's digits at small n, expm1 none.
    correction=Text("_correction({beta}, n)"),
    shrink="",
    terms=MappingProxyType(
        {
            "add": Template("{1}", SUM, (SUM, SUM)),
            "sub": Template("-{1}", SIGN, (SUM, SIGN)),
            "add_scaled": Template("{c} * {1}", PRODUCT, (SUM, SIGN), PRODUCT),
        }
    ),
    width=60,
    argument=32,
)
"""Pure expressions; XLA orders and fuses the floating-point operations as it likes."""
