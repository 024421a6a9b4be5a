"""The part of YAML that configurations need: plain values, each written where it stands.

Aliases could make a short text expand to billions of values, and tags name types that no setting
has; both are refused, as are settings that are given twice.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from evoptim.errors import InputError

MAX_CHARACTERS = 65_536
"""The longest text that is read; the longest possible configuration is a tenth of that."""
MAX_DEPTH = 16
"""The deepest nesting that is read: the scanner's time grows with the square of it."""


def read_text(path: Path, what: str) -> str:
    """The text of a file, of one that is too long the beginning: devices and dumps never end.

    Args:
        path: The file.
        what: How errors name it.

    Raises:
        InputError: it cannot be read, or is no text.
    """
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(MAX_CHARACTERS + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(f"{what} {str(path)!r} cannot be read: {reason}") from None


def load_yaml(text: str, what: str) -> Any:
    """The value of one YAML document: mappings, lists, texts, numbers, booleans and null.

    Args:
        text: The YAML.
        what: How errors name it.

    Raises:
        InputError: with the line and column.
    """
    if len(text) > MAX_CHARACTERS:
        raise InputError(f"{what} may have {MAX_CHARACTERS} characters, and has more")
    try:
        _check_plain(text)
        return yaml.load(text, _PlainLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise InputError(f"{what} is no YAML that can be used: {place}{error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:
        # A character that YAML forbids, or a whole number of thousands of digits.
        line = " ".join(str(error).split())
        raise InputError(f"{what} is no YAML that can be used: {line[:200]}") from None


def _check_plain(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, _PlainLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise _problem(f"no setting is nested more than {MAX_DEPTH} deep", event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            raise _problem(f"write the value out in place of *{event.anchor}", event.start_mark)
        if getattr(event, "tag", None) is not None:
            raise _problem("leave out the tag: settings have plain values", event.start_mark)


def _problem(text: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=text, problem_mark=mark)


class _PlainLoader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in names:
                raise _problem(f"{key.value!r} is given twice: leave one", key.start_mark)
            names.add(key.value)
        return super().construct_mapping(node, deep)


# What an unquoted word is, as YAML 1.2 has it, so that JSON means the same. In YAML 1.1, which
# PyYAML follows, the rate 1e-3 would be a text, 1:30 would be 90 and 2024-01-31 a date.
_FLOAT = r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
_WORDS = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789")),
    ("float", rf"{_FLOAT}|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", list("-+.0123456789")),
)
_PlainLoader.yaml_implicit_resolvers = {}
for _name, _pattern, _first in _WORDS:
    _PlainLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_name}", re.compile(rf"(?:{_pattern})\Z"), _first
    )
