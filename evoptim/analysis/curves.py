"""Fitness by generation: best, median and quartiles of the new candidates, best so far."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from evoptim.analysis.stage import StageResult, by_generation


@dataclass(frozen=True)
class GenerationPoint:
    """The fitness of the genomes that one generation introduced. All values are fractions."""

    generation: int
    comparable: bool
    """Whether they were scored under the run's own protocol, not the initial one."""
    candidates: int
    scored: int
    best: float | None
    """None, as are the quartiles, if none has a fitness."""
    upper_quartile: float | None
    median: float | None
    lower_quartile: float | None
    best_so_far: float | None
    """Under the run's own protocol, particles that were scored again included."""


def generation_curve(
    own_protocol: str, stages: Iterable[StageResult]
) -> tuple[GenerationPoint, ...]:
    """One point for each generation, in order.

    Quartiles interpolate linearly between the scored candidates; failed ones have no fitness and
    are counted instead (:func:`evoptim.analysis.outcomes.count_outcomes`).

    Args:
        own_protocol: content id of the protocol that scores particles and children.
        stages: the run's stages, in any order; the finals are left out.
    """
    points: list[GenerationPoint] = []
    best_so_far: float | None = None
    for generation, here in by_generation(stages).items():
        new = [one for one in here if one.candidate.role != "particle"]
        own = [o.fitness for o in here if o.protocol == own_protocol and o.fitness is not None]
        best_so_far = max([*own, *([] if best_so_far is None else [best_so_far])], default=None)
        fitnesses = [one.fitness for one in new if one.fitness is not None]
        lower, median, upper = _quartiles(fitnesses)
        points.append(
            GenerationPoint(
                generation=generation,
                comparable=all(one.protocol == own_protocol for one in new),
                candidates=len(new),
                scored=len(fitnesses),
                best=max(fitnesses, default=None),
                upper_quartile=upper,
                median=median,
                lower_quartile=lower,
                best_so_far=best_so_far,
            )
        )
    return tuple(points)


def _quartiles(values: list[float]) -> tuple[float | None, float | None, float | None]:
    if not values:
        return None, None, None
    import numpy as np

    lower, median, upper = (float(q) for q in np.quantile(values, (0.25, 0.5, 0.75)))
    return lower, median, upper
