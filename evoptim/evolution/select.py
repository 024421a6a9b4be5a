"""Selects: the best initial candidates become particles, then each particle its best child.

Particles never exchange material. Only validation results are looked at.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from evoptim.errors import InfrastructureError, InputError
from evoptim.records import Candidate, Evaluation, Outcome, Particle, Population, Score

Evaluations = Mapping[int, Evaluation | Score]
"""By candidate index; a missing one counts as failed."""

Merit = tuple[float, float]


def merit(fitness: float | None, validation_loss: float | None) -> Merit:
    """Sorts the better result first: by fitness, then by validation loss; failures come last."""
    return (
        math.inf if fitness is None else -fitness,
        math.inf if validation_loss is None else validation_loss,
    )


def check_complete(
    candidates: Sequence[Candidate], evaluations: Evaluations, max_missing_fraction: float
) -> None:
    """Refuse to select where too many evaluations are missing.

    Raises:
        InfrastructureError: more than ``max_missing_fraction`` of the candidates have none.
    """
    missing = [each.index for each in candidates if each.index not in evaluations]
    if missing and len(missing) / len(candidates) > max_missing_fraction:
        raise InfrastructureError(
            f"{len(missing)} of {len(candidates)} evaluations are missing "
            f"({', '.join(map(str, missing[:10]))}{', …' if len(missing) > 10 else ''}), "
            f"max_missing_fraction = {max_missing_fraction} is exceeded: "
            "run the same command again to compute them"
        )


def check_screens(candidates: Sequence[Candidate], evaluations: Evaluations) -> None:
    """Refuse to go on from a first generation of which a screen has let nothing through.

    Raises:
        InputError: every evaluation that there is ended as refused.
    """
    found = [evaluations[each.index] for each in candidates if each.index in evaluations]
    if found and all(each.outcome is Outcome.REFUSED for each in found):
        raise InputError(
            f"the trial, a screen, refused all {len(found)} candidates of generation 0, so that "
            "there is nothing to select: start another run (--run) with the screen switched off, "
            "--set screens.trial=null, or with a lower screens.trial.threshold"
        )


def select_initial(
    candidates: Sequence[Candidate], evaluations: Evaluations, particles: int
) -> Population:
    """The best ``particles`` candidates of generation 0, each the start of a line of descent.

    Failed ones fill up the number where too few have a fitness; the lower index comes first.
    """
    ranked = sorted(candidates, key=lambda each: (*_merit(each, evaluations), each.index))
    chosen = [
        _particle(candidate, number, evaluations, 0)
        for number, candidate in enumerate(ranked[:particles])
    ]
    return Population(generation=0, particles=tuple(chosen))


def select_children(
    population: Population,
    candidates: Sequence[Candidate],
    evaluations: Evaluations,
    replacement: Literal["always", "elitist"],
) -> Population:
    """The next end of every line of descent.

    ``always``: the best child, even if it is worse than the particle. ``elitist``: the best child
    if it is better. A particle all of whose children failed stays. Where particles were scored
    again, their new result takes the place of the old one.
    """
    generation = population.generation + 1
    chosen = []
    lines: dict[int | None, list[Candidate]] = {}
    for each in candidates:
        lines.setdefault(each.particle, []).append(each)
    for parent in population.particles:
        own = lines.get(parent.particle, [])
        present = _rescored(parent, own, evaluations)
        best = min(
            (each for each in own if each.role == "child"),
            key=lambda each: (*_merit(each, evaluations), each.index),
        )
        child = _particle(best, parent.particle, evaluations, generation)
        better = merit(child.fitness, child.validation_loss) < merit(
            present.fitness, present.validation_loss
        )
        replaces = child.fitness is not None and (replacement == "always" or better)
        chosen.append(child if replaces else present)
    return Population(generation=generation, particles=tuple(chosen))


def _rescored(parent: Particle, own: Sequence[Candidate], evaluations: Evaluations) -> Particle:
    """``parent`` with its result under the present protocol, if it was scored again."""
    for each in own:
        if each.role == "particle":
            return _particle(each, parent.particle, evaluations, parent.generation)
    return parent


def _merit(candidate: Candidate, evaluations: Evaluations) -> Merit:
    found = evaluations.get(candidate.index)
    return merit(None, None) if found is None else merit(found.fitness, found.validation_loss)


def _particle(
    candidate: Candidate, number: int, evaluations: Evaluations, generation: int
) -> Particle:
    found = evaluations.get(candidate.index)
    if candidate.gene is None:
        raise ValueError(f"a particle is evolved, the baseline {candidate.id} is not")
    return Particle(
        particle=number,
        id=candidate.id,
        formula=candidate.formula,
        gene=candidate.gene,
        fitness=None if found is None else found.fitness,
        validation_loss=None if found is None else found.validation_loss,
        generation=generation,
    )
