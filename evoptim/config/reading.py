"""From YAML, presets and single settings to a checked configuration."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from evoptim.config.presets import PROTOCOLS, preset
from evoptim.config.protocol import TaskName
from evoptim.config.run import RunConfig
from evoptim.errors import InputError

MAX_BYTES = 1_000_000
"""The longest configuration file that is read."""


def describe(error: ValidationError) -> str:
    """One line: the path of the first field that is wrong, its value, the rule, and the rest."""
    errors = error.errors(include_url=False)
    first = errors[0]
    path = ".".join(str(part) for part in first["loc"])
    value = repr(first["input"])
    value = value if len(value) <= 60 else value[:60] + "…"
    if first["type"] == "extra_forbidden":
        known = ", ".join(_fields(first["loc"][:-1]))
        rule = f"there is no such setting; choose among {known}" if known else "no such setting"
        line = f"{path}: {rule}"
    elif first["type"] == "missing":
        line = f"{path}: this setting is required"
    else:
        line = f"{path}: {first['msg'].removeprefix('Value error, ')}"
        if not isinstance(first["input"], dict):
            line += f", got {value}"
    more = len(errors) - 1
    return "configuration: " + line + (f" (and {more} more)" if more else "")


def _fields(path: Iterable[object]) -> list[str]:
    """Names of the settings at ``path``, as far as the path leads through models."""
    model: Any = RunConfig
    for part in path:
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            return []
        options = [field.annotation, *getattr(field.annotation, "__args__", ())]
        model = next((each for each in options if hasattr(each, "model_fields")), None)
    return list(getattr(model, "model_fields", {}))


def read_config(
    text: str | None = None,
    preset_name: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> RunConfig:
    """A configuration from a preset, changed by a YAML text, changed by single settings.

    Args:
        text: YAML. Mappings are merged into the preset's; ``protocol`` and ``initial_protocol``
            may be a protocol preset's name.
        preset_name: Where to start from; ``preset`` in the YAML says the same. The default is
            ``quickstart``.
        settings: Values by dotted path, such as ``{"search.children": 5}``.

    Raises:
        InputError: with the path, the value and the remedy.
    """
    given = _parse_yaml(text) if text is not None else {}
    named = given.pop("preset", None)
    if named is not None and not isinstance(named, str):
        raise InputError(f"configuration: preset: give a preset's name, got {named!r}")
    task = _task(given, settings or {})
    values = preset(preset_name or named or "quickstart", task).model_dump(mode="json")
    for name in ("protocol", "initial_protocol"):
        if isinstance(given.get(name), str):
            values[name] = _protocol(given.pop(name))
    _merge(values, given)
    for path, value in (settings or {}).items():
        _set(values, path, value)
    try:
        return RunConfig.model_validate_json(json.dumps(values))
    except ValidationError as error:
        raise InputError(describe(error)) from None
    except (TypeError, ValueError) as error:
        raise InputError(
            f"configuration: it holds a value that JSON does not know: {error}"
        ) from None


def parse_setting(text: str) -> tuple[str, Any]:
    """``path=value`` as (path, value); the value is read as YAML.

    Raises:
        InputError: there is no ``=``, or the value is no YAML.
    """
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise InputError(f"a setting is written path=value, such as seed=1, got {text!r}")
    try:
        return path.strip(), yaml.safe_load(value)
    except yaml.YAMLError:
        raise InputError(f"the value of the setting {path!r} is no YAML: {value!r}") from None


def to_yaml(config: RunConfig) -> str:
    """The whole configuration as YAML that :func:`read_config` reads back."""
    return str(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))


def _parse_yaml(text: str) -> dict[str, Any]:
    if len(text) > MAX_BYTES:
        raise InputError(f"a configuration may have {MAX_BYTES} characters, got {len(text)}")
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        line = " ".join(str(error).split())
        raise InputError(f"configuration: this is no YAML: {line[:200]}") from None
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise InputError(
            f"configuration: give settings as 'name: value' lines, got {str(values)[:60]!r}"
        )
    return values


def _task(given: Mapping[str, Any], settings: Mapping[str, Any]) -> TaskName | None:
    """The task that the configuration asks for, since presets fit themselves to it."""
    at: Any = settings.get("protocol.task.name")
    if at is None:
        at = given
        for part in ("protocol", "task", "name"):
            at = at.get(part) if isinstance(at, Mapping) else None
    return next((name for name in get_args(TaskName) if name == at), None)


def _protocol(name: str) -> dict[str, Any]:
    if name not in PROTOCOLS:
        raise InputError(
            f"configuration: there is no protocol {name!r}; choose among {', '.join(PROTOCOLS)}"
        )
    return PROTOCOLS[name]().model_dump(mode="json")


def _merge(values: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        old = values.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            _merge(old, value)
        else:
            values[name] = value


def _set(values: dict[str, Any], path: str, value: Any) -> None:
    *parents, name = path.split(".")
    at = values
    for parent in parents:
        inner = at.get(parent)
        if inner is None and parent in at:
            inner = at[parent] = {}
        if not isinstance(inner, dict):
            raise InputError(
                f"configuration: there is no setting {path!r}: {parent!r} is not among "
                f"{', '.join(at)}"
            )
        at = inner
    if name in ("protocol", "initial_protocol") and at is values and isinstance(value, str):
        value = _protocol(value)
    at[name] = value
