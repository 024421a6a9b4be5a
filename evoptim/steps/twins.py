"""Where the evaluation of a candidate is: its own, or that of the first one that does the same.

Both may be in the works at once, so that a duplicate takes its twin's evaluation whenever it is
read; nothing is written for it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from evoptim.records import Candidate, Score
from evoptim.store import Stage, Store
from evoptim.store.layout import evaluation_key, evaluations_prefix


def evaluated_at(run: str, stage: Stage, candidate: Candidate) -> str:
    """The key of the evaluation that counts for a candidate of a stage."""
    if candidate.twin is None:
        return evaluation_key(run, stage, candidate.index)
    return evaluation_key(run, Stage.generation(candidate.twin.generation), candidate.twin.index)


def listed(store: Store, run: str, stage: Stage, candidates: Iterable[Candidate]) -> frozenset[str]:
    """The keys of all evaluations in those stages in which some of these candidates have one."""
    # One listing costs less than asking for every object.
    generations = {each.twin.generation for each in candidates if each.twin is not None}
    stages = {stage, *(Stage.generation(number) for number in generations)}
    return frozenset(
        key for each in sorted(stages) for key in store.list(evaluations_prefix(run, each))
    )


def as_own(score: Score, candidate: Candidate) -> Score:
    """What a twin's evaluation says of the candidate itself."""
    # One of somebody else stays as it is, for the reader to refuse.
    if candidate.same_as is None or score.subject != candidate.same_as:
        return score
    return dataclasses.replace(score, subject=candidate.id)
