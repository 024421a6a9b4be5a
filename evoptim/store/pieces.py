"""Canonical JSON piece by piece, so that 100,000 items of a list never become text or plain
values all at once.

Pieces of a value are its fields, and the items of those fields that are tuples of models.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence
from json.encoder import encode_basestring
from typing import Any, Final, TypeVar, get_args

from pydantic import BaseModel

Model = TypeVar("Model", bound=BaseModel)

_PLAIN: Final = json.JSONEncoder(allow_nan=False)

_OPEN: Final = b"[\n"
_ITEM_END: Final = b"\n  }"
_LIST_END: Final = b"\n ]"


def json_pieces(value: BaseModel, *, sort_keys: bool = True) -> Iterator[str]:
    """The text of ``json.dumps(..., indent=1, ensure_ascii=False)`` of a value, in pieces.

    Args:
        value: What to write.
        sort_keys: Whether names are sorted rather than in the order of their fields.

    Raises:
        ValueError: the value holds NaN or an infinity, which JSON does not know.
    """
    long = {name for name in _lists(type(value)) if getattr(value, name)}
    rest = value.model_dump(mode="json", by_alias=True, exclude=long)
    names = [each.alias or name for name, each in type(value).model_fields.items()]
    for place, name in enumerate(sorted(names) if sort_keys else names):
        yield f'{"," if place else "{"}\n "{name}": '
        if name in long:
            for number, item in enumerate(getattr(value, name)):
                plain = item.model_dump(mode="json", by_alias=True)
                yield f"{',' if number else '['}\n  {_text(plain, sort_keys, 2)}"
            yield "\n ]"
        else:
            yield _text(rest[name], sort_keys, 1)
    yield "\n}" if names else "{}"


def _text(plain: Any, sort_keys: bool, depth: int) -> str:
    """As ``json.dumps`` indents it, which does that in Python too, five times slower.

    Args:
        plain: A JSON value.
        sort_keys: As above.
        depth: Of the line on which it begins.
    """
    if isinstance(plain, str):
        return encode_basestring(plain)
    inner, outer = "\n" + " " * (depth + 1), "\n" + " " * depth
    if isinstance(plain, dict) and plain:
        members = sorted(plain.items()) if sort_keys else plain.items()
        texts = [
            f"{inner}{encode_basestring(name)}: {_text(value, sort_keys, depth + 1)}"
            for name, value in members
        ]
        return f"{{{','.join(texts)}{outer}}}"
    if isinstance(plain, (list, tuple)) and plain:
        texts = [f"{inner}{_text(value, sort_keys, depth + 1)}" for value in plain]
        return f"[{','.join(texts)}{outer}]"
    return _PLAIN.encode(plain)


def parse_pieces(data: bytes, model: type[Model]) -> Model | None:
    """The value that canonical JSON holds, its items read one at a time.

    Returns:
        None where that cannot be done: the text is not canonical at its outermost level, or it
        holds no such value. Then only reading it as a whole tells which.

    Args:
        data: What :func:`json_pieces` wrote, with names sorted and a newline at the end.
        model: What it is to be.
    """
    shell, end = bytearray(), 0
    found: dict[str, tuple[BaseModel, ...]] = {}
    for name, item in sorted(_lists(model).items()):
        marker = f'\n "{name}": '.encode() + _OPEN
        begin = data.find(marker, end)
        if begin < 0:
            continue
        shell += data[end:begin] + f'\n "{name}": []'.encode()
        try:
            items, end = _items(data, begin + len(marker), item)
        except ValueError:
            return None
        found[name] = tuple(items)
    shell += data[end:]
    try:
        plain = json.loads(shell)
        if f"{_text(plain, True, 0)}\n".encode() != shell:
            return None
        # Of the rest some values, such as tuples, are JSON's own only where JSON is read.
        return model.model_validate({**dict(model.model_validate_json(shell)), **found})
    except ValueError:
        return None


def join_lists(texts: Sequence[bytes], name: str) -> bytes:
    """Canonical JSON of a value with the items of a list of all these values, one after another.

    Args:
        texts: What :func:`json_pieces` wrote of at least one value, with names sorted; values that
            differ in nothing but their list.
        name: A field of the values, a tuple of models that is not empty.
    """
    marker = f'\n "{name}": '.encode() + _OPEN
    begin = texts[0].index(marker) + len(marker)
    ends = [text.index(_LIST_END, begin) for text in texts]
    items = b",\n".join(text[begin:end] for text, end in zip(texts, ends, strict=True))
    return texts[0][:begin] + items + texts[0][ends[0] :]


def _items(data: bytes, begin: int, model: type[BaseModel]) -> tuple[list[BaseModel], int]:
    """The items of a list, and where it ends; raises ValueError where one is not as it should."""
    items = []
    while True:
        end = data.index(_ITEM_END, begin) + len(_ITEM_END)
        items.append(model.model_validate_json(data[begin:end]))
        if data.startswith(_LIST_END, end):
            return items, end + len(_LIST_END)
        if not data.startswith(b",\n", end):
            raise ValueError("an item must be followed by another or by the end of the list")
        begin = end + 2


@functools.cache
def _lists(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """The fields that are tuples of models, each with its model."""
    found = {}
    for name, field in model.model_fields.items():
        parts = get_args(field.annotation)
        listed = len(parts) == 2 and parts[1] is Ellipsis and _is_model(parts[0])
        if listed and field.alias is None:
            found[name] = parts[0]
    return found


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
