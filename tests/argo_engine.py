"""A small interpreter of what our WorkflowTemplate uses of Argo Workflows, and of nothing else.

It follows the controller's source where that matters: text is replaced in the JSON of a step, first
with the workflow's parameters and then with what is nearer; skipped and omitted tasks have no
outputs; a step group fails unless its failed steps may be passed over; an exit handler that fails
fails a workflow that went well, and leaves one that failed as it is. It refuses fields and text
that it does not know.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]

_TASK = {"name", "template", "arguments", "depends", "when"}
_STEP = {"name", "template", "arguments", "when", "withParam", "continueOn"}
_REFERENCE = re.compile(r"\{\{(.*?)\}\}")


class RefusedError(Exception):
    """Argo, or this interpreter of it, would not go on."""


@dataclass(frozen=True)
class Attempt:
    """What became of one pod."""

    code: int | None = 0
    """Exit code; None where nobody saw one."""
    out: str = ""
    message: str = ""
    phase: str = ""
    """``Error`` where the controller lost the pod; else what the code says."""

    def status(self) -> str:
        return self.phase or ("Succeeded" if self.code == 0 else "Failed")


@dataclass
class Node:
    """The result of a template."""

    phase: str
    outputs: dict[str, str] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        return self.phase in ("Failed", "Error")


Pod = Callable[[str, list[str], int], Attempt]
"""Runs a container: its template, its arguments, and how many pods there were before."""


class Engine:
    """One workflow."""

    def __init__(self, workflow: Object, pod: Pod, limit: int = 100, **parameters: str) -> None:
        self.spec = workflow["spec"]
        declared = self.spec["arguments"]["parameters"]
        given = {each["name"]: each["value"] for each in declared if "value" in each} | parameters
        for each in declared:
            if each["name"] not in given:
                raise RefusedError(f"the parameter {each['name']} is missing")
        self.globals = {f"workflow.parameters.{name}": text for name, text in given.items()}
        self.templates = {each["name"]: each for each in self.spec["templates"]}
        self.pod = pod
        self.limit = limit
        self.depth = self.deepest = 0
        self.mutexes = [
            _replaced(each, self.globals)["name"]
            for each in self.spec["synchronization"]["mutexes"]
        ]
        self.labels: list[dict[str, str]] = []
        self.pauses: list[float] = []
        self.log: list[str] = []

    def run(self) -> str:
        """The workflow's phase in the end."""
        phase = self._execute(self.spec["entrypoint"], {}).phase
        self.globals["workflow.status"] = phase
        finish = self._execute(self.spec["onExit"], {})
        return finish.phase if phase == "Succeeded" else phase

    def _execute(self, name: str, arguments: dict[str, str]) -> Node:
        self.depth += 1
        self.deepest = max(self.deepest, self.depth)
        try:
            if self.depth >= self.limit:
                raise RefusedError("Maximum recursion depth exceeded")
            template = self.templates[name]
            inputs = {each["name"] for each in template.get("inputs", {}).get("parameters", ())}
            if inputs != arguments.keys():
                raise RefusedError(f"{name} takes {inputs}, got {set(arguments)}")
            scope = {f"inputs.parameters.{key}": text for key, text in arguments.items()}
            template = _replaced(_replaced(template, self.globals), scope)
            if "dag" in template:
                return self._dag(template)
            if "steps" in template:
                return self._steps(template)
            return self._container(template)
        finally:
            self.depth -= 1

    # Kinds of templates

    def _dag(self, template: Object) -> Node:
        nodes: dict[str, Node] = {}
        scope: dict[str, str] = {}
        # Each task is written after the one that it waits for.
        for task in template["dag"]["tasks"]:
            _check_fields(task, _TASK)
            name = task["name"]
            if not self._depends(task.get("depends", ""), nodes):
                nodes[name] = Node("Omitted")
                continue
            node = nodes[name] = self._call(_replaced(task, scope))
            scope |= {f"tasks.{name}.{key}": text for key, text in node.outputs.items()}
        return Node("Failed" if any(node.failed for node in nodes.values()) else "Succeeded")

    def _depends(self, text: str, nodes: dict[str, Node]) -> bool:
        if not text:
            return True
        wanted = [each.partition(".") for each in text.split(" || ")]
        for name, _, phase in wanted:
            if phase not in ("Succeeded", "Skipped") or name not in nodes:
                raise RefusedError(f"depends: {text!r}")
        return any(nodes[name].phase == phase for name, _, phase in wanted)

    def _steps(self, template: Object) -> Node:
        scope: dict[str, str] = {}
        for group in template["steps"]:
            failed = False
            for written in group:
                _check_fields(written, _STEP)
                step = _replaced(written, scope)
                items = json.loads(step["withParam"]) if "withParam" in step else [None]
                for item in items:
                    call = step if item is None else _replaced(step, {"item": json.dumps(item)})
                    node = self._call(call)
                    passed_over = step.get("continueOn", {}).get(node.phase.lower(), False)
                    failed = failed or (node.failed and not passed_over)
                    if item is None:
                        scope |= {
                            f"steps.{step['name']}.{key}": text
                            for key, text in node.outputs.items()
                        }
            if failed:
                return Node("Failed")
        outputs = {}
        for each in template.get("outputs", {}).get("parameters", ()):
            text = _replaced(each["valueFrom"]["parameter"], scope)
            _check_replaced(text)
            outputs[f"outputs.parameters.{each['name']}"] = text
        return Node("Succeeded", outputs)

    def _call(self, call: Object) -> Node:
        if "when" in call and not _when(call["when"]):
            self.log.append(f"{call['name']} skipped")
            return Node("Skipped")
        given = call.get("arguments", {}).get("parameters", ())
        _check_replaced(given)
        return self._execute(call["template"], {each["name"]: each["value"] for each in given})

    def _container(self, template: Object) -> Node:
        container = template["container"]
        _check_replaced(template)
        if container["command"] != ["evoptim"]:
            raise RefusedError(f"no command {container['command']}")
        self.labels.append(template["metadata"]["labels"])
        strategy = template["retryStrategy"]
        attempts = 0
        while True:
            attempt = self.attempt(template, attempts)
            attempts += 1
            status = attempt.status()
            self.log.append(f"{template['name']} {status}")
            if status == "Succeeded":
                return Node("Succeeded", {"outputs.result": attempt.out.strip()})
            if attempts > int(strategy["limit"]) or not retried(
                strategy["expression"], attempt, attempts
            ):
                return Node(status)
            self.pauses.append(_pause(strategy["backoff"], attempts))

    def attempt(self, template: Object, before: int) -> Attempt:
        """Run a pod of a template, of which all is replaced, after so many others."""
        return self.pod(template["name"], template["container"]["args"], before)


def retried(expression: str, attempt: Attempt, attempts: int) -> bool:
    """Whether a retry expression lets another pod follow."""
    # Python writes the operator as a call.
    text = re.sub(r"([\w.]+) matches ('[^']*')", r"matches(\1, \2)", expression)
    names = {
        "lastRetry.exitCode": "-1" if attempt.code is None else str(attempt.code),
        "lastRetry.status": attempt.status(),
        "lastRetry.message": attempt.message,
        "retries": str(attempts - 1),
    }
    result = _evaluated(ast.parse(text, mode="eval").body, names)
    assert isinstance(result, bool)
    return result


def _evaluated(node: ast.expr, names: dict[str, str]) -> Any:
    match node:
        case ast.Constant(value):
            return value
        case ast.Name() | ast.Attribute():
            return names[ast.unparse(node)]
        case ast.List(elements):
            return [_evaluated(each, names) for each in elements]
        case ast.UnaryOp(ast.Not(), operand):
            return not _evaluated(operand, names)
        case ast.BoolOp(operator, values):
            found = [_evaluated(each, names) for each in values]
            assert all(isinstance(each, bool) for each in found)
            return all(found) if isinstance(operator, ast.And) else any(found)
        case ast.Compare(left, [operator], [right]):
            first, second = _evaluated(left, names), _evaluated(right, names)
            if isinstance(operator, ast.In):
                return first in second
            # As strict as the language that it stands for.
            assert type(first) is type(second), ast.unparse(node)
            if isinstance(operator, ast.Lt):
                return first < second
            return (first == second) is isinstance(operator, ast.Eq)
        case ast.Call(ast.Name("asInt"), [argument]):
            return int(_evaluated(argument, names))
        case ast.Call(ast.Name("matches"), [text, pattern]):
            return re.search(_evaluated(pattern, names), _evaluated(text, names)) is not None
    raise RefusedError(ast.unparse(node))


def _when(text: str) -> bool:
    found = re.fullmatch(r"'([^'{}]*)' (==|!=) '([^'{}]*)'", text)
    if found is None:
        raise RefusedError(f"when: {text!r}")
    return (found[1] == found[3]) is (found[2] == "==")


def _pause(backoff: dict[str, str], attempts: int) -> float:
    seconds = float(backoff["duration"].removesuffix("s"))
    cap = 60 * float(backoff["cap"].removesuffix("m"))
    return min(cap, seconds * float(backoff["factor"]) ** (attempts - 1))


def _replaced(part: Any, values: dict[str, str]) -> Any:
    def one(found: re.Match[str]) -> str:
        text = values.get(found[1])
        return found[0] if text is None else json.dumps(text)[1:-1]

    return json.loads(_REFERENCE.sub(one, json.dumps(part)))


def _check_fields(part: Object, known: set[str]) -> None:
    if unknown := part.keys() - known:
        raise RefusedError(f"no fields {sorted(unknown)}")


def _check_replaced(part: Any) -> None:
    if found := _REFERENCE.search(json.dumps(part)):
        raise RefusedError(f"failed to resolve {found[0]}")
