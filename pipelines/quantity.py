"""Kubernetes quantities such as ``500m`` and ``2Gi``: checked, compared, added up."""

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

_QUANTITY = re.compile(r"(?P<number>[0-9]{1,12}(?:\.[0-9]{1,6})?)(?P<suffix>m|[kMGTP]|[KMGTP]i)?")
_FACTORS = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTP", 1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTP", 1)},
}


def amount(quantity: str) -> Decimal:
    """A quantity as a number: cores for CPU, bytes for memory.

    Raises:
        ValueError: the text is no quantity.
    """
    found = _QUANTITY.fullmatch(quantity)
    if found is None:
        raise ValueError(
            "a quantity is a number with m, k, M, G, T, P, Ki, Mi, Gi, Ti, Pi or nothing after it, "
            f"such as 500m or 2Gi, got {quantity[:40]!r}"
        )
    return Decimal(found["number"]) * _FACTORS[found["suffix"] or ""]


def _text(value: Any) -> Any:
    # YAML reads the 2 of "cpu: 2" as a number.
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _positive(quantity: str) -> str:
    if amount(quantity) <= 0:
        raise ValueError(f"a quantity must be above 0, got {quantity!r}")
    return quantity


Quantity = Annotated[str, BeforeValidator(_text), AfterValidator(_positive)]
"""A positive quantity; whole and decimal numbers are taken as their text."""
