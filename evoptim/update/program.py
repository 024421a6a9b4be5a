"""A genome compiled to a list of instructions over numbered values."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from evoptim.decay import Decay
from evoptim.genome import Genome, Momentum
from evoptim.operands import OPERANDS, POWERS, Average, Operand
from evoptim.operators import BINARY, UNARY, BinaryOperator, UnaryOperator


@dataclass(frozen=True)
class Instruction:
    """One node: an operator over values computed before it.

    ``inputs`` index the program's values (operands first, then nodes in order); ``decays`` index
    its decay functions, one for each input or None.
    """

    operator: UnaryOperator | BinaryOperator
    inputs: tuple[int, ...]
    decays: tuple[int | None, ...]


@dataclass(frozen=True)
class Program:
    """What has to be computed at every step, and nothing else."""

    averages: tuple[Average, ...]
    operands: tuple[Operand, ...]
    instructions: tuple[Instruction, ...]
    decays: tuple[Decay, ...]
    momentum: Momentum
    sign: int

    @property
    def stochastic(self) -> bool:
        """Whether any operator draws random numbers."""
        return any(
            isinstance(each.operator, UnaryOperator) and each.operator.stochastic
            for each in self.instructions
        )

    def decay_values(self, total_steps: int) -> tuple[tuple[float, ...], ...]:
        """The factors of every decay function, ``[step][decay]``."""
        columns = [decay.values(total_steps) for decay in self.decays]
        return tuple(zip(*columns, strict=True)) if columns else ((),) * total_steps


@functools.lru_cache(maxsize=256)
def compile_genome(genome: Genome) -> Program:
    """The program of the canonical form, so that equal sub-expressions are computed once."""
    canonical = genome.canonical()
    names = dict.fromkeys(
        source for node in canonical.active for source in node.sources if isinstance(source, str)
    )
    operands = tuple(OPERANDS[name] for name in names)
    place: dict[str | int, int] = {name: position for position, name in enumerate(names)}
    for position, index in enumerate(canonical.order):
        place[index] = len(operands) + position
    decays = canonical.decays()
    needed = {average for operand in operands for average in operand.averages}
    return Program(
        averages=tuple(average for average in POWERS if average in needed),
        operands=operands,
        instructions=tuple(
            Instruction(
                UNARY[node.operator] if node.operator in UNARY else BINARY[node.operator],
                tuple(place[source] for source in node.sources),
                tuple(None if e.decay is None else decays.index(e.decay) for e in node.edges),
            )
            for node in canonical.active
        ),
        decays=decays,
        momentum=canonical.momentum,
        sign=canonical.sign,
    )
