"""An immutable JSON object that takes as little memory as its text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


class JsonObject(Mapping[str, Any]):
    """JSON values by name, kept as canonical text and read anew at each look.

    Nested dictionaries take some twenty times the memory, and could be changed.
    """

    __slots__ = ("_text",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        """Take a copy of the values.

        Raises:
            ValueError: they hold NaN or an infinity, which JSON does not know.
            TypeError: they hold something else that is no JSON value.
        """
        self._text = json.dumps(
            dict(values), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )

    def values_by_name(self) -> dict[str, Any]:
        """All of it, as a dictionary of the caller's own."""
        values: dict[str, Any] = json.loads(self._text)
        return values

    def __getitem__(self, name: str) -> Any:
        return self.values_by_name()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_by_name())

    def __len__(self) -> int:
        return len(self.values_by_name())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, JsonObject):
            return self._text == other._text
        return super().__eq__(other)

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return f"JsonObject({self._text})"

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _validated,
            serialization=core_schema.plain_serializer_function_ser_schema(cls.values_by_name),
        )


def _validated(value: object) -> JsonObject:
    if isinstance(value, JsonObject):
        return value
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise PydanticCustomError("json_object", "Input should be a JSON object")
    try:
        return JsonObject(value)
    except TypeError as error:
        raise ValueError(str(error)) from None
