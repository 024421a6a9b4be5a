"""An optimizer's equation, whether a genome describes it or it was written by hand."""

from __future__ import annotations

import functools
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from evoptim.genome import Genome, Momentum
from evoptim.update.interpreter import move, update_direction
from evoptim.update.program import compile_genome
from evoptim.update.rule import Curve, Rule, Scalar
from evoptim.update.trace import Options, Tensors, trace, traced_uniform


# Values rather than partial functions, which are equal to themselves alone: equal formulas share
# their rule, their kernels and their tables.
@dataclass(frozen=True)
class Movement:
    """Moves the weights as the search does, see :func:`evoptim.update.move`."""

    momentum: Momentum

    def __call__(
        self,
        weight: Tensor,
        update: Tensor,
        rate: Tensor,
        coefficient: Tensor,
        state: MutableMapping[str, Tensor],
    ) -> None:
        """Change ``weight`` in place."""
        move(self.momentum, weight, update, rate, coefficient, state)


_PLAIN = Movement(Momentum.NONE)


@dataclass(frozen=True)
class Formula:
    """What :class:`evoptim.optim.RuleOptimizer` runs. Its functions are importable by name.

    ``direction`` computes the update u; ``movement(weight, u, rate, coefficient, state)`` changes
    the weight by it, where ``rate`` is the signed rate -sign * eta.
    """

    name: str
    """Tells in a ``state_dict`` whose state it is."""
    direction: Callable[[Tensors], Tensor]
    movement: Callable[..., None] = _PLAIN
    curves: tuple[Curve, ...] = ()
    """The functions of progress inside ``direction``, where ``decay(k)`` is the k-th."""
    rate_curve: Curve | None = None
    """A function of progress that multiplies the rate."""
    sign: int = 1

    @property
    def needs_horizon(self) -> bool:
        """Whether anything depends on training progress t/T."""
        return bool(self.curves) or self.rate_curve is not None

    def rule(self, options: Options) -> Rule:
        """One step as elementary operations."""
        return _rule(self, options)


@functools.lru_cache(maxsize=512)
def _rule(formula: Formula, options: Options) -> Rule:
    return trace(formula.direction, formula.movement, options)


def decay(number: int) -> Any:
    """Factor ``number`` of :attr:`Formula.curves` inside a ``direction``."""
    return Scalar("decay", number)


def genome_formula(genome: Genome) -> Formula:
    """The formula of a genome."""
    program = compile_genome(genome)
    return Formula(
        name=f"genome {genome.id}",
        direction=_GenomeDirection(genome),
        movement=Movement(program.momentum),
        curves=program.decays,
        sign=program.sign,
    )


@dataclass(frozen=True)
class _GenomeDirection:
    genome: Genome

    def __call__(self, tensors: Tensors) -> Tensor:
        program = compile_genome(self.genome)
        decays = [decay(number) for number in range(len(program.decays))]
        return update_direction(
            program,
            tensors.gradient,
            tensors.weight,
            tensors.state,
            tensors.count,
            decays,
            (),
            traced_uniform,
        )
