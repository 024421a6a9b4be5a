"""What Argo would refuse, or trip over while a workflow runs, and its schema cannot tell."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

Object = dict[str, Any]

REFERENCE = re.compile(r"\{\{(.*?)\}\}")
DEPENDS = re.compile(r"([a-z0-9-]+)\.(?:Succeeded|Skipped)")
_KINDS = ("container", "dag", "steps")
_RETRY_NAMES = {"lastRetry.exitCode", "lastRetry.message", "lastRetry.status", "retries"}


def problems(workflow: Object, recursive: Iterable[str] = ("generations",)) -> list[str]:
    """Everything that is wrong with a WorkflowTemplate.

    Args:
        workflow: The WorkflowTemplate.
        recursive: The only templates that may call themselves.
    """
    return list(_Checks(workflow["spec"], set(recursive)).run())


class _Checks:
    def __init__(self, spec: Object, recursive: set[str]) -> None:
        self.spec = spec
        self.recursive = recursive
        self.templates = {each["name"]: each for each in spec["templates"]}
        self.parameters = {each["name"] for each in spec["arguments"]["parameters"]}
        self.at_exit = self._reached(spec["onExit"])
        self.before = self._reached(spec["entrypoint"])

    def run(self) -> Iterator[str]:
        for name, count in Counter(each["name"] for each in self.spec["templates"]).items():
            if count > 1:
                yield f"{name}: {count} templates have this name"
        for field in ("entrypoint", "onExit"):
            if self.spec[field] not in self.templates:
                yield f"{field}: no template {self.spec[field]!r}"
        for name in self.templates.keys() - self.before - self.at_exit:
            yield f"{name}: nobody calls it"
        yield from self._workflow()
        for name, template in self.templates.items():
            for text in self._template(template):
                yield f"{name}: {text}"
        yield from self._recursion()

    def _workflow(self) -> Iterator[str]:
        rest = {key: part for key, part in self.spec.items() if key != "templates"}
        # The values of parameters are what others refer to.
        rest["arguments"] = {}
        for name in _references(rest):
            if not self._is_parameter(name):
                yield f"the workflow refers to {name!r}"
        expressions = self.spec.get("workflowMetadata", {}).get("labelsFrom", {})
        for label, source in expressions.items():
            if not self._is_parameter(source["expression"]):
                yield f"the label {label} comes from {source['expression']!r}"

    def _is_parameter(self, name: str) -> bool:
        return name.removeprefix("workflow.parameters.") in self.parameters - {name}

    # One template

    def _template(self, template: Object) -> Iterator[str]:
        kinds = [kind for kind in _KINDS if kind in template]
        if len(kinds) != 1:
            yield f"is {kinds or 'nothing'}"
            return
        inputs = {f"inputs.parameters.{each}" for each in _names(template, "inputs")}
        known = {*inputs, *(f"workflow.parameters.{each}" for each in self.parameters)}
        if template["name"] in self.at_exit and template["name"] not in self.before:
            known.add("workflow.status")
        (kind,) = kinds
        if kind == "container":
            yield from _unknown(_references(template), known)
            yield from self._retries(template)
            return
        own = {key: part for key, part in template.items() if key not in (kind, "outputs")}
        yield from _unknown(_references(own), known)
        if kind == "dag":
            yield from self._dag(template, known)
        else:
            yield from self._steps(template, known)

    def _retries(self, template: Object) -> Iterator[str]:
        strategy = template.get("retryStrategy", {})
        text = re.sub(r"'[^']*'", "''", strategy.get("expression", ""))
        words = set(re.findall(r"[A-Za-z][\w.]*", text))
        unknown = words - _RETRY_NAMES - {"and", "or", "not", "in", "matches", "asInt"}
        if unknown:
            yield f"its retry expression knows no {sorted(unknown)}"

    def _dag(self, template: Object, known: set[str]) -> Iterator[str]:
        tasks = {each["name"]: each for each in template["dag"]["tasks"]}
        if len(tasks) < len(template["dag"]["tasks"]):
            yield "two tasks share a name"
        for name, task in tasks.items():
            needed = DEPENDS.findall(task.get("depends", ""))
            if DEPENDS.sub("", task.get("depends", "")).strip(" &|"):
                yield f"{name} depends on {task['depends']!r}"
            for each in needed:
                if each not in tasks:
                    yield f"{name} depends on no task {each!r}"
            # A task that may be skipped has no outputs: only success of the very one tells.
            scope = known | {
                reference
                for each in needed
                if each in tasks and f"{each}.Skipped" not in task["depends"]
                for reference in self._outputs(f"tasks.{each}", tasks[each])
            }
            yield from self._call(name, task, scope)
        cycle = _cycle(
            {name: DEPENDS.findall(task.get("depends", "")) for name, task in tasks.items()}
        )
        if cycle:
            yield f"tasks wait for each other: {' → '.join(cycle)}"
        yield from _unknown(_references(template.get("outputs", {})), known)

    def _steps(self, template: Object, known: set[str]) -> Iterator[str]:
        names = [each["name"] for group in template["steps"] for each in group]
        if len(set(names)) < len(names):
            yield "two steps share a name"
        scope = set(known)
        for group in template["steps"]:
            for step in group:
                yield from self._call(step["name"], step, scope)
            for step in group:
                # With ``when`` there may be no outputs, with a loop there are lists of them.
                if "when" not in step and "withParam" not in step:
                    scope |= self._outputs(f"steps.{step['name']}", step)
        for each in template.get("outputs", {}).get("parameters", ()):
            yield from _unknown(_references(each), scope)

    def _outputs(self, prefix: str, call: Object) -> set[str]:
        called = self.templates.get(call["template"], {})
        found = {f"{prefix}.outputs.parameters.{each}" for each in _names(called, "outputs")}
        return found | ({f"{prefix}.outputs.result"} if "container" in called else set())

    def _call(self, name: str, call: Object, scope: set[str]) -> Iterator[str]:
        called = self.templates.get(call["template"])
        if called is None:
            yield f"{name} calls no template {call['template']!r}"
            return
        given = [each["name"] for each in call.get("arguments", {}).get("parameters", ())]
        wanted = _names(called, "inputs")
        if sorted(given) != sorted(wanted):
            yield f"{name} gives {call['template']} {sorted(given)}, which takes {sorted(wanted)}"
        looped = {"item"} if "withParam" in call else set()
        for text in _unknown(_references(call), scope | looped):
            yield f"{name} {text}"

    # All templates

    def _recursion(self) -> Iterator[str]:
        for name in self.recursive & self.templates.keys():
            for task in self.templates[name].get("dag", {}).get("tasks", ()):
                if task["template"] == name and "when" not in task:
                    yield f"{name}: calls itself without end"
        calls = {
            name: [
                each
                for each in self._called(template)
                if not (each == name and name in self.recursive)
            ]
            for name, template in self.templates.items()
        }
        cycle = _cycle(calls)
        if cycle:
            yield f"templates call each other: {' → '.join(cycle)}"

    def _called(self, template: Object) -> list[str]:
        calls = [
            *template.get("dag", {}).get("tasks", ()),
            *(step for group in template.get("steps", ()) for step in group),
        ]
        return [each["template"] for each in calls if each["template"] in self.templates]

    def _reached(self, start: str) -> set[str]:
        found: set[str] = set()
        open_ = [start]
        while open_:
            name = open_.pop()
            if name in self.templates and name not in found:
                found.add(name)
                open_ += self._called(self.templates[name])
        return found


def _names(template: Object, where: str) -> list[str]:
    return [each["name"] for each in template.get(where, {}).get("parameters", ())]


def _references(part: Any) -> list[str]:
    # As they are in the text, not as JSON writes them.
    return [name.strip() for name in REFERENCE.findall(json.dumps(part))]


def _unknown(names: Iterable[str], known: set[str]) -> Iterator[str]:
    for name in names:
        if name not in known:
            yield f"refers to {name!r}"


def _cycle(edges: dict[str, list[str]]) -> list[str]:
    """Some cycle of a graph; empty without one."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for each in edges.get(name, ()):
            found = visit(each, [*path, name])
            if found:
                return found
        done.add(name)
        return []

    for name in edges:
        found = visit(name, [])
        if found:
            return found
    return []
