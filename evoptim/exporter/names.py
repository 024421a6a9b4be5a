"""Names that can stand in a source file, made of what the user calls an optimizer."""

from __future__ import annotations

import builtins
import keyword
import re

from evoptim.errors import InputError

_TAKEN = frozenset(
    {"Any", "Callable", "NamedTuple", "NDArray", "Optimizer", "ParamsT", "Tensor"}
    | {"jax", "jnp", "math", "np", "optax", "formula", "annotations"}
)
"""What exported files import or define."""


def class_name(name: str) -> str:
    """``name`` as the name of a class, in CapWords: ``my_rule`` becomes ``MyRule``.

    Raises:
        InputError: it is no identifier, or has a meaning already.
    """
    _check(name)
    return _usable(name, "".join(part[:1].upper() + part[1:] for part in name.split("_")))


def function_name(name: str) -> str:
    """``name`` as the name of a function, in lower case: ``MyRule`` becomes ``my_rule``.

    Raises:
        InputError: it is no identifier, or has a meaning already.
    """
    _check(name)
    return _usable(name, re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())


def _check(name: str) -> None:
    # isidentifier() alone would let look-alike letters of other scripts through.
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,39}", name):
        raise InputError(
            f"{name!r} cannot name an optimizer: give up to 40 letters, digits and underscores, "
            "a letter first, such as MyRule"
        )


def _usable(given: str, made: str) -> str:
    if keyword.iskeyword(made) or keyword.issoftkeyword(made) or hasattr(builtins, made):
        raise InputError(f"{given!r} has a meaning in Python: give another name, such as MyRule")
    if made in _TAKEN:
        raise InputError(
            f"{given!r} has a meaning in the exported file: give another name, such as MyRule"
        )
    return made
