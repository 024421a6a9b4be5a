"""What may be claimed of the best evolved optimizer next to the baselines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from evoptim.analysis.result import Result
from evoptim.config import Value

Relation = Literal["above", "overlapping", "below", "unknown"]


class Verdict(Value):
    """The comparison on test images, which took no part in choosing anything."""

    relations: dict[str, Relation]
    """For each baseline: where the champion's test interval lies."""
    better_than: tuple[str, ...]
    """Baselines that the champion may be called better than: its interval lies above theirs, and
    both were trained under several seeds."""
    text: str
    """The same in words."""


def compare(champion: Result | None, baselines: Sequence[Result]) -> Verdict:
    """Compare test intervals. Nothing is called better unless they are disjoint."""
    if champion is None:
        return _silent("No evolved optimizer trained, so there is nothing to compare.")
    if not baselines:
        return _silent("No baseline was trained, so there is nothing to compare with.")
    rivals = [b for b in baselines if b.protocol == champion.protocol]
    if not rivals:
        return _silent(
            "The best evolved optimizer was scored under the initial protocol only, so it is not "
            "comparable with the baselines."
        )
    relations = {rival.name: _relation(champion, rival) for rival in rivals}
    above = tuple(name for name, relation in relations.items() if relation == "above")
    several = champion.seeds > 1 and all(rival.seeds > 1 for rival in rivals)
    return Verdict(
        relations=relations,
        better_than=above if several else (),
        text=_words(relations, several),
    )


def _silent(text: str) -> Verdict:
    return Verdict(relations={}, better_than=(), text=text)


def _relation(champion: Result, rival: Result) -> Relation:
    ours, theirs = champion.test_interval, rival.test_interval
    if ours is None or theirs is None:
        return "unknown"
    if ours.above(theirs):
        return "above"
    return "below" if theirs.above(ours) else "overlapping"


def _words(relations: dict[str, Relation], several_seeds: bool) -> str:
    groups = {
        wanted: [name for name, relation in relations.items() if relation == wanted]
        for wanted in ("above", "overlapping", "below", "unknown")
    }
    parts = []
    if groups["above"]:
        parts.append(
            f"better than {_listed(groups['above'])} (disjoint 95% intervals)"
            if several_seeds
            else f"above {_listed(groups['above'])}, in a single training of each: a reason to "
            f"train again under several seeds, not yet a claim"
        )
    if groups["overlapping"]:
        parts.append(
            f"not distinguishable from {_listed(groups['overlapping'])} (overlapping 95% intervals)"
        )
    if groups["below"]:
        parts.append(f"below {_listed(groups['below'])} (disjoint 95% intervals)")
    if groups["unknown"]:
        parts.append(f"not compared with {_listed(groups['unknown'])}, for lack of a test accuracy")
    return f"On test images the best evolved optimizer is {'; '.join(parts)}."


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
