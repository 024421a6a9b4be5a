"""How long a search has found nothing better."""

from __future__ import annotations

from collections.abc import Sequence

from evoptim.records import Population


def generations_without_improvement(populations: Sequence[Population]) -> int:
    """How many generations in a row, up to the last one, have not raised the best fitness so far.

    Equal is no improvement, and a population without any fitness improves nothing.

    Args:
        populations: Those of consecutive generations, scored under one protocol.
    """
    best = float("-inf")
    since = 0
    for place, population in enumerate(populations):
        reached = max(
            (each.fitness for each in population.particles if each.fitness is not None),
            default=float("-inf"),
        )
        since = 0 if place == 0 or reached > best else since + 1
        best = max(best, reached)
    return since
