"""The finals: the best of the search and the baselines, measured afresh and compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from evoptim.analysis.archive import finals_held
from evoptim.analysis.paired import (
    SIGNIFICANCE,
    Difference,
    holm,
    paired_difference,
    rank_ranges,
)
from evoptim.analysis.result import Finalist, build_result, by_seed, name_of
from evoptim.config import RunConfig, Tuning, Value
from evoptim.records import Archive, ArchiveEntry, Score

Relation = Literal["better", "undecided", "worse", "unknown"]


class Comparison(Value):
    """The champion beside one baseline, on test images, which took no part in any choice."""

    rival: str
    """Name of the baseline."""
    difference: Difference | None
    """The champion's test accuracy minus the baseline's; None if one of them has none."""
    corrected_p: float | None
    """The difference's p-value, corrected for the number of baselines (Holm)."""

    @property
    def relation(self) -> Relation:
        """What can be said."""
        if self.difference is None:
            return "unknown"
        if self.corrected_p is None or self.corrected_p >= SIGNIFICANCE:
            return "undecided"
        return "better" if self.difference.mean > 0 else "worse"


class Finals(Value):
    """The final ranking, and what follows from it."""

    seeds: tuple[int, ...]
    """They took no part in the search; all finalists were trained under each."""
    tuning: Tuning | None
    """How each one's rate was chosen after the sweep; None: by the sweep alone."""
    finalists: tuple[Finalist, ...]
    """Evolved optimizers and baselines, best first."""
    comparisons: tuple[Comparison, ...]
    """The champion beside each baseline, in their order."""

    @property
    def champion(self) -> Finalist | None:
        """The best evolved optimizer; None if all of them failed."""
        return next((e for e in self.evolved if e.validation_accuracy is not None), None)

    @property
    def evolved(self) -> tuple[Finalist, ...]:
        """The evolved optimizers, best first."""
        return tuple(each for each in self.finalists if each.evolved)

    @property
    def baselines(self) -> tuple[Finalist, ...]:
        """The baselines, best first."""
        return tuple(each for each in self.finalists if not each.evolved)


def build_finals(
    archive: Archive, scores: Mapping[tuple[str, str], Score], config: RunConfig
) -> Finals | None:
    """Rank and compare whoever is in the finals.

    Args:
        archive: everything that was evaluated.
        scores: by (subject, protocol).
        config: the run's configuration.

    Returns:
        None where nothing of the finals is evaluated yet.
    """
    if not finals_held(archive):
        return None
    searched = {entry.candidate.id: entry for entry in archive.entries}
    own = config.protocol.content_id()
    measured = [
        _finalist(
            each,
            scores.get((each.candidate.id, each.protocol)),
            searched.get(each.candidate.id),
            own,
        )
        for each in archive.finals
    ]
    finalists = _with_ranges(measured)
    ranked = Finals(
        seeds=config.finals.seeds,
        tuning=config.finals.tuning,
        finalists=finalists,
        comparisons=(),
    )
    return ranked.model_copy(update={"comparisons": _comparisons(ranked)})


def _with_ranges(finalists: Sequence[Finalist]) -> tuple[Finalist, ...]:
    scored = [each for each in finalists if each.seed_validation]
    ranges = rank_ranges([each.seed_validation for each in scored])
    ranges_of = {each.id: ranks for each, ranks in zip(scored, ranges, strict=True)}
    return tuple(each.model_copy(update={"ranks": ranges_of.get(each.id)}) for each in finalists)


def _finalist(
    entry: ArchiveEntry, score: Score | None, searched: ArchiveEntry | None, own: str
) -> Finalist:
    validation, test = by_seed(score)
    result = build_result(name_of(entry, searched.rank if searched else 0), entry, score)
    return Finalist(
        **dict(result),
        rank=entry.rank,
        ranks=None,
        # What another protocol measured would tell nothing of luck.
        search_accuracy=searched.fitness if searched and searched.protocol == own else None,
        seed_validation=validation,
        seed_test=test,
    )


def _comparisons(finals: Finals) -> tuple[Comparison, ...]:
    champion = finals.champion
    if champion is None:
        return ()
    differences = [_difference(champion, rival) for rival in finals.baselines]
    corrected = holm([None if each is None else each.p_value for each in differences])
    return tuple(
        Comparison(rival=rival.name, difference=difference, corrected_p=p)
        for rival, difference, p in zip(finals.baselines, differences, corrected, strict=True)
    )


def _difference(champion: Finalist, rival: Finalist) -> Difference | None:
    ours, theirs = champion.seed_test, rival.seed_test
    # Whoever failed under a seed has no accuracy there, nor a mean.
    paired: bool = bool(ours) and len(ours) == len(theirs)
    return paired_difference(ours, theirs) if paired else None
