"""One step of all lanes at once, each at its rate, at the moment that it stands for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from evoptim.integrity import uniform_source
from evoptim.schedule import learning_rate_factor, momentum_factor
from evoptim.trial.perceptron import Perceptrons
from evoptim.update import Program, move, update_direction

TOTAL_STEPS = 16_000
"""Length of the training that a trial stands for: the paper's fitness of particles."""
WARMUP_STEPS = 800
"""The stretch of it that a trial runs through."""


class Step:
    """Moves the weights of all lanes by one step after the other.

    Args:
        program: The compiled genome.
        networks: What the weights are those of.
        weights: Flat; changed in place by every call.
        rates: Peak rates, one for each lane.
        steps: How many steps stand for the :data:`WARMUP_STEPS`, evenly spaced.
    """

    def __init__(
        self,
        program: Program,
        networks: Perceptrons,
        weights: Tensor,
        rates: Sequence[float],
        steps: int,
    ) -> None:
        # A norm is that of one weight tensor of one lane; all else takes all weights at once.
        whole = any(each.operator.name == "norm_clip" for each in program.instructions)
        self._split = networks.blocks if whole else _together
        self._dims = [tuple(d for d in range(3) if d != lane) for lane in networks.lane_dims]
        self._program = program
        self._weights = self._split(weights)
        self._states: list[dict[str, Tensor]] = [{} for _ in self._weights]
        self._draws = [uniform_source(number) for number in range(len(self._weights))]
        self._peaks = -program.sign * networks.spread(rates)
        moments = [number * WARMUP_STEPS // steps for number in range(steps)]
        self._factors = [learning_rate_factor(t, TOTAL_STEPS, WARMUP_STEPS, 0) for t in moments]
        self._coefficients = _rows(
            [momentum_factor(t, TOTAL_STEPS, WARMUP_STEPS, 0) for t in moments]
        )
        curves = [decay.values(TOTAL_STEPS) for decay in program.decays]
        self._decays = _rows([[curve[t] for curve in curves] for t in moments])

    def __call__(self, number: int, gradient: Tensor) -> None:
        """Take step ``number``, from 0, along this gradient of the weights, flat as they are."""
        rates = self._split(self._peaks * self._factors[number])
        for place, part in enumerate(self._split(gradient)):
            update = update_direction(
                self._program,
                part,
                self._weights[place],
                self._states[place],
                number + 1,
                self._decays[number].unbind(),
                self._dims[place],
                self._draws[place],
            )
            move(
                self._program.momentum,
                self._weights[place],
                update,
                rates[place],
                self._coefficients[number],
                self._states[place],
            )


def _together(flat: Tensor) -> tuple[Tensor, ...]:
    return (flat,)


def _rows(values: Sequence[float | Sequence[float]]) -> tuple[Tensor, ...]:
    return torch.tensor(values, dtype=torch.float32).unbind()
