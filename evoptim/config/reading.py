"""From YAML, presets and single settings to a checked configuration."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from pydantic import ValidationError

from evoptim.config.presets import PROTOCOLS, preset
from evoptim.config.protocol import Protocol, TaskName
from evoptim.config.run import RunConfig
from evoptim.config.value import Value
from evoptim.config.yaml_text import load_yaml
from evoptim.errors import InputError

_PROTOCOL_SETTINGS = ("protocol", "initial_protocol")


def describe(
    error: ValidationError, model: type[Value] = RunConfig, what: str = "configuration"
) -> str:
    """One line: the path of the first field that is wrong, its value, the rule, and the rest.

    Args:
        error: What pydantic found.
        model: What was read, for the names of the settings that there are.
        what: How the line names it.
    """
    errors = error.errors(include_url=False)
    first = errors[0]
    if first["type"] == "extra_forbidden":
        known = ", ".join(_fields(model, first["loc"][:-1]))
        rule = f"there is no such setting; choose among {known}" if known else "no such setting"
    elif first["type"] == "missing":
        rule = "this setting is required"
    else:
        rule = first["msg"].removeprefix("Value error, ")
        if not isinstance(first["input"], dict):
            value = repr(first["input"])
            rule += f", got {value if len(value) <= 60 else value[:60] + '…'}"
    path = ".".join(str(part) for part in first["loc"] if part != "[key]")
    more = len(errors) - 1
    # Text that is no JSON at all has no path.
    parts = (what, path, rule) if path else (what, rule)
    return ": ".join(parts) + (f" (and {more} more)" if more else "")


def _fields(root: type[Value], path: Iterable[object]) -> list[str]:
    """Names of the settings at ``path``, as far as the path leads through models."""
    model: Any = root
    for part in path:
        if isinstance(part, int):
            # A list's item: the model is that of the list already.
            continue
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            return []
        options = [field.annotation, *get_args(field.annotation)]
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
    given = load_settings(text, "configuration") if text is not None else {}
    named = given.pop("preset", None)
    if named is not None and not isinstance(named, str):
        raise InputError(f"configuration: preset: give a preset's name, got {named!r}")
    # One setting may change another, of which the caller's value must know nothing.
    settings = copy.deepcopy(dict(settings or {}))
    asked = _told("name", given, settings)
    # Presets fit themselves to a task; what is no task's name is refused with everything else.
    task = next((name for name in get_args(TaskName) if name == asked), None)
    values = preset(preset_name or named or "quickstart", task).model_dump(mode="json")
    for name in _PROTOCOL_SETTINGS:
        if isinstance(given.get(name), str):
            values[name] = _protocol(given.pop(name), task)
    merge(values, given)
    for path, value in settings.items():
        named_protocol = path in _PROTOCOL_SETTINGS and isinstance(value, str)
        change(values, path, _protocol(value, task) if named_protocol else value)
    try:
        config = RunConfig.model_validate_json(json.dumps(values))
    except ValidationError as error:
        raise InputError(describe(error)) from None
    except (TypeError, ValueError) as error:
        raise InputError(
            f"configuration: it holds a value that JSON does not know: {error}"
        ) from None
    return _share_images(config, _told("data", given, settings))


def parse_setting(text: str) -> tuple[str, Any]:
    """``path=value`` as (path, value); the value is read as YAML.

    Raises:
        InputError: there is no ``=``, or the value is no YAML.
    """
    path, equals, value = text.partition("=")
    path = path.strip()
    if not equals or not path:
        raise InputError(f"a setting is written path=value, such as seed=1, got {text[:60]!r}")
    return path, load_yaml(value, f"the value of the setting {path!r}")


def load_settings(text: str, what: str) -> dict[str, Any]:
    """The settings of one YAML text, which may be empty.

    Raises:
        InputError: it is no YAML, or no mapping.
    """
    values = load_yaml(text, f"the {what}")
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise InputError(f"{what}: give settings as 'name: value' lines, got {str(values)[:60]!r}")
    return values


def _told(name: str, given: Mapping[str, Any], settings: Mapping[str, Any]) -> Any:
    """What was said of ``protocol.task.<name>``; a single setting counts more than the YAML."""
    at: Any = settings.get(f"protocol.task.{name}")
    if at is None:
        at = given
        for part in ("protocol", "task", name):
            at = at.get(part) if isinstance(at, Mapping) else None
    return at


def _share_images(config: RunConfig, data: Any) -> RunConfig:
    """Let protocols of one task read the same images, which then need to be named but once."""

    def shared(protocol: Protocol) -> Protocol:
        if protocol.task.name != config.protocol.task.name or protocol.task.data is not None:
            return protocol
        task = protocol.task.model_copy(update={"data": data})
        return protocol.model_copy(update={"task": task})

    initial = config.initial_protocol
    changed = {
        "protocol": shared(config.protocol),
        "initial_protocol": None if initial is None else shared(initial),
    }
    return config if data is None else config.model_copy(update=changed)


def _protocol(name: str, task: TaskName | None) -> dict[str, Any]:
    if name not in PROTOCOLS:
        raise InputError(
            f"configuration: there is no protocol {name!r}; choose among {', '.join(PROTOCOLS)}"
        )
    protocol = PROTOCOLS[name]() if task is None else PROTOCOLS[name](task)
    return protocol.model_dump(mode="json")


def merge(values: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Change ``values`` in place: mappings are merged, everything else is replaced."""
    for name, value in changes.items():
        old = values.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            merge(old, value)
        else:
            values[name] = value


def change(values: dict[str, Any], path: str, value: Any, what: str = "configuration") -> None:
    """Change one setting of ``values`` in place, by its dotted path.

    Raises:
        InputError: the path leads through something that holds no settings.
    """
    *parents, name = path.split(".")
    at = values
    for parent in parents:
        inner = at.get(parent)
        if inner is None and parent in at:
            inner = at[parent] = {}
        if not isinstance(inner, dict):
            known = ", ".join(map(str, at))
            raise InputError(f"{what}: {path}: {parent!r} holds no settings; beside it are {known}")
        at = inner
    at[name] = value
