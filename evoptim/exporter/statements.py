"""A rule as lines of source in some dialect, written the way a person would write the formula.

Every operation of the rule appears once, with its inputs in their order, so that the source rounds
as the rule does. What is used once is written inside the expression that uses it; what is used more
often, or makes a line too long, gets a name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

from evoptim.exporter.dialect import Dialect
from evoptim.exporter.text import Text, number_text
from evoptim.update import Operation, Rule, Scalar
from evoptim.update.rule import GRADIENT, WEIGHT

VARIABLES: Mapping[str, str] = MappingProxyType(
    {GRADIENT: "g", WEIGHT: "w", "l": "lam", "momentum": "m"}
)
"""What tensors are called in the source where their key in the state says it badly."""

_NUMBERS: Mapping[str, str] = MappingProxyType({"rate": "rate", "momentum": "mu"})
_CONSTANTS = {1.0: "ones", 2.0: "twos"}


def variable(name: str) -> str:
    """The variable that holds the tensor ``name`` of a rule."""
    return VARIABLES.get(name, name)


def statements(rule: Rule, dialect: Dialect) -> list[str]:
    """One step of ``rule``: changes the weight and the state variables.

    Args:
        rule: Traced with decoupled weight decay, which is written as a branch of its own.
        dialect: The library to write for.
    """
    return _Writer(rule, dialect).lines()


class _Writer:
    """Walks through the operations once, holding back what is used once."""

    def __init__(self, rule: Rule, dialect: Dialect) -> None:
        self.rule = rule
        self.dialect = dialect
        self.uses = Counter(each for step in rule.operations for each in step.inputs)
        self.stores = {number: name for name, number in rule.stores}
        self.names = _Names(rule)
        self.chains = self._chains()
        self.text: dict[int, Text] = {}
        self.held: dict[int, frozenset[str]] = {}
        """Values not written yet, with the variables that they read."""
        self.out: list[str] = []
        self.late: list[str] = []
        self.terms: list[str] = []
        """The change of the weights, where the dialect returns it."""

    def lines(self) -> list[str]:
        for number, operation in enumerate(self.rule.operations):
            if operation.name == "read":
                self.text[number] = Text(variable(operation.source))
            elif number in self.chains:
                self._change(number, operation)
            else:
                self._value(number, operation)
        change = [f"change = {' + '.join(self.terms)}"] if self.terms else []
        return self.out + change + self.late

    def _chains(self) -> dict[int, str]:
        """Operations that change a tensor where it is, and which tensor.

        That is possible from its first operation on if nothing needs the old value after it.
        """
        found: dict[int, str] = {}
        for name, last in self.rule.stores:
            steps: list[int] = []
            number = last
            while self.rule.operations[number].inputs and self._changes(name, number):
                steps.append(number)
                number = self.rule.operations[number].inputs[0]
            read = self.rule.operations[number]
            if not steps or read.name != "read" or read.source != name:
                continue
            inside = {number, *steps[1:]}
            users = [
                user
                for user, step in enumerate(self.rule.operations)
                if inside.intersection(step.inputs) and user not in steps
            ]
            doubly = any(self.rule.operations[step].inputs.count(number) > 1 for step in steps)
            if all(user < steps[-1] for user in users) and not doubly:
                found |= dict.fromkeys(steps, name)
        return found

    def _changes(self, name: str, number: int) -> bool:
        """Whether an operation can be written as a change of the tensor ``name``."""
        operation = self.rule.operations[number]
        if name == WEIGHT and self.dialect.terms:
            return _is_shrink(operation) or operation.name in self.dialect.terms
        return _is_shrink(operation) or self.dialect.statement(operation) is not None

    def _change(self, number: int, operation: Operation) -> None:
        name = self.chains[number]
        if name == WEIGHT and self.dialect.terms:
            self._add_term(operation)
            return
        x = variable(name)
        for each in operation.inputs[1:]:
            if each in self.held and len(self.text[each].text) > self.dialect.argument:
                self._name(each)
        inputs = [self._take(each) for each in operation.inputs[1:]]
        self._release(x)
        if _is_shrink(operation):
            self.out += self.dialect.shrink.format(x=x).split("\n")
        else:
            template = self.dialect.statement(operation)
            assert template is not None
            texts = [x, *(each.text for each in inputs)]
            line = template.format(*texts, x=x, c=self._number(operation).text)
            if self.dialect.chained and self.out and self._continues(line, x):
                self.out[-1] += line.removeprefix(x)
            else:
                self.out.append(line)
        self.text[number] = Text(x)

    def _add_term(self, operation: Operation) -> None:
        if _is_shrink(operation):
            return
        for each in operation.inputs[1:]:
            # Terms are written last, when the variables of the state have their new values.
            if each in self.held or self.rule.operations[each].name == "read":
                self._name(each)
        inputs = [Text(variable(WEIGHT)), *(self.text[each] for each in operation.inputs[1:])]
        term = self.dialect.terms[operation.name].fill(inputs, self._number(operation))
        self.terms.append(term.text)

    def _continues(self, line: str, x: str) -> bool:
        return line.startswith(f"{x}.") and self.out[-1].startswith(f"{x}.")

    def _value(self, number: int, operation: Operation) -> None:
        text = self._shortened(operation)
        reads = frozenset[str]().union(*(self._reads(each) for each in operation.inputs))
        for each in operation.inputs:
            self.held.pop(each, None)
        self.text[number] = text
        if number in self.stores:
            self._store(number, self.stores[number], text)
        elif self.uses[number] > 1 or self.names.forced(number):
            self._name(number)
        else:
            self.held[number] = reads

    def _shortened(self, operation: Operation) -> Text:
        while True:
            text = self.dialect.expression(operation).fill(
                [self.text[each] for each in operation.inputs],
                None if operation.scalar is None else self._number(operation),
                source=operation.source,
            )
            parts = [each for each in operation.inputs if each in self.held]
            if len(text.text) <= self.dialect.width or not parts:
                return text
            self._name(max(parts, key=lambda each: len(self.text[each].text)))

    def _store(self, number: int, name: str, text: Text) -> None:
        """Give a state tensor its value; as late as needed if its old one is still to be read."""
        x = variable(name)
        if name == WEIGHT and self.dialect.terms:
            self.terms.append(f"{text.text} - {x}")
            return
        read = next((n for n, each in enumerate(self.rule.operations) if each.source == name), None)
        later = any(
            read in step.inputs for step in self.rule.operations[number + 1 :] if read is not None
        )
        if later:
            self._name(number, f"new_{x}")
            self.late.append(self.dialect.store.format(self.text[number].text, x=x))
            return
        self._release(x)
        self.out.append(self.dialect.store.format(text.text, x=x))
        self.text[number] = Text(x)

    def _take(self, number: int) -> Text:
        """The value of ``number`` for its last use."""
        text = self.text[number]
        if self.uses[number] == 1:
            self.held.pop(number, None)
        return text

    def _reads(self, number: int) -> frozenset[str]:
        operation = self.rule.operations[number]
        if operation.name == "read":
            return frozenset({variable(operation.source)})
        return self.held.get(number, frozenset())

    def _release(self, x: str) -> None:
        """Write what still reads ``x``, which is about to change."""
        for number, reads in list(self.held.items()):
            if x in reads:
                self._name(number)

    def _name(self, number: int, name: str | None = None) -> None:
        name = name or self.names.of(number)
        self.out.append(f"{name} = {self.text[number].text}")
        self.text[number] = Text(name)
        self.held.pop(number, None)

    def _number(self, operation: Operation) -> Text:
        scalar = operation.scalar
        if isinstance(scalar, Scalar):
            if scalar.kind == "correction":
                beta = number_text(scalar.parameter).text
                correction = self.dialect.correction
                return Text(correction.text.format(beta=beta), correction.level)
            if scalar.kind == "decay":
                return Text(f"d{int(scalar.parameter) + 1}")
            return Text(_NUMBERS[scalar.kind])
        if scalar is None:
            return Text("")
        return number_text(abs(scalar) if operation.name == "add_scalar" else scalar)


def _is_shrink(operation: Operation) -> bool:
    return isinstance(operation.scalar, Scalar) and operation.scalar.kind == "shrink"


class _Names:
    """Names that say what a value is."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.used: set[str] = set()
        self.meanings = dict(self._meanings())

    def of(self, number: int) -> str:
        """A name for value ``number`` that no other value has."""
        meant = self.meanings.get(number)
        candidates = [meant] if meant else []
        candidates += [f"{meant or 'h'}{suffix}" for suffix in range(2 if meant else 1, 99)]
        name = next(each for each in candidates if each not in self.used)
        self.used.add(name)
        return name

    def forced(self, number: int) -> bool:
        """Whether a value deserves a name however short it is."""
        return self.meanings.get(number, "g2") not in ("g2", *_CONSTANTS.values(), "constant")

    def _meanings(self) -> list[tuple[int, str]]:
        operations = self.rule.operations
        found: list[tuple[int, str]] = []
        stored = {number: variable(name) for name, number in self.rule.stores}
        gradient = self._read(GRADIENT)
        hats: dict[int, str] = {}
        for number, each in enumerate(operations):
            scalar = each.scalar
            if each.name == "full" and isinstance(scalar, float):
                found.append((number, _CONSTANTS.get(scalar, "constant")))
            elif each.name == "mul" and each.inputs == (gradient, gradient):
                found.append((number, "g2"))
            elif (
                each.name == "div_scalar"
                and isinstance(scalar, Scalar)
                and scalar.kind == "correction"
                and each.inputs[0] in stored
            ):
                hats[number] = stored[each.inputs[0]]
                found.append((number, f"{hats[number]}_hat"))
            elif each.name == "add" and self._mixes(each, gradient, hats):
                found.append((number, "q"))
            elif each.name == "sqrt" and operations[each.inputs[0]].name == "sum":
                found.append((number, "norm"))
            if each.name == "add_scaled" and scalar == Scalar("rate"):
                update = each.inputs[1]
                if operations[update].name != "read" and update not in stored:
                    # A name that says more stays.
                    found.append((update, dict(found).get(update, "update")))
        return found

    def _read(self, name: str) -> int | None:
        return next((n for n, each in enumerate(self.rule.operations) if each.source == name), None)

    def _mixes(self, add: Operation, gradient: int | None, hats: Mapping[int, str]) -> bool:
        """Whether it is 0.3 g + 0.7 v_hat."""
        first, second = (self.rule.operations[each] for each in add.inputs)
        return (
            (first.name, first.scalar, first.inputs) == ("mul_scalar", 0.3, (gradient,))
            and (second.name, second.scalar) == ("mul_scalar", 0.7)
            and hats.get(second.inputs[0]) == "v"
        )
