"""Immutable pydantic values as JSON objects in a store."""

from __future__ import annotations

import io
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from evoptim.errors import InputError
from evoptim.store.base import Store
from evoptim.store.pieces import json_pieces, parse_pieces

Model = TypeVar("Model", bound=BaseModel)

_LONG: Final = 1_000_000
"""Bytes from which it is worth while to read an object item by item."""


def to_json(value: BaseModel) -> bytes:
    """Canonical JSON: sorted keys, one space of indent, UTF-8, a newline at the end.

    Equal values give equal bytes.

    Raises:
        ValueError: the value holds NaN or an infinity, which JSON does not know.
    """
    # A list of pieces would take as much again as their text.
    text = io.BytesIO()
    text.writelines(piece.encode() for piece in json_pieces(value))
    text.write(b"\n")
    return text.getvalue()


def save(store: Store, key: str, value: BaseModel) -> bool:
    """Write a value as :func:`to_json`; the answer is that of :meth:`evoptim.store.Store.put`."""
    return store.put(key, to_json(value))


def load(store: Store, key: str, model: type[Model]) -> Model:
    """Read a value back and validate it.

    Raises:
        MissingObjectError: there is no such object.
        InputError: the object is truncated, no JSON or no such value; the line names the object
            and the position.
    """
    data = store.get(key)
    if len(data) > _LONG and (value := parse_pieces(data, model)) is not None:
        return value
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise InputError(
            f"a stored object must be a complete {model.__name__}, but {store.url}/{key} is not: "
            f"{_first(error)}; remove that object and run the same command again, which computes "
            f"it anew"
        ) from error


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else first["msg"]
