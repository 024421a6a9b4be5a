"""The ranking of everything that a run evaluated."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import islice

from evoptim.analysis.stage import Scored, StageResult, evolved, finals
from evoptim.config import RunConfig
from evoptim.records import Archive, ArchiveEntry, Outcome


def build_archive(run: str, config: RunConfig, stages: Iterable[StageResult]) -> Archive:
    """Rank all genomes by what the search found out about them, and its finals among themselves.

    A genome has one entry. Scored under both protocols (a particle, where the initial protocol
    differs), it is ranked by the run's own; the entry keeps the generation and the candidate
    record with which it first appeared, which say where it comes from.

    The order is total and does not depend on the order of ``stages``: scored under the run's own
    protocol, then scored under the initial one only, then failed; within each by higher fitness,
    lower validation loss, earlier generation, lower index.
    """
    stages = tuple(stages)
    entries = _rank(evolved(stages), config.protocol.content_id())
    return Archive(
        run=run,
        config=config.content_id(),
        entries=entries,
        finals=_of_their_generations(
            _rank(finals(stages), config.finals_protocol().content_id()), entries
        ),
    )


def _of_their_generations(
    finals: Iterable[ArchiveEntry], entries: Iterable[ArchiveEntry]
) -> tuple[ArchiveEntry, ...]:
    """Finalists with the generations that they come from."""
    known = {each.candidate.id: each.generation for each in entries}
    return tuple(
        each.model_copy(update={"generation": known.get(each.candidate.id, 0)}) for each in finals
    )


def finals_held(archive: Archive) -> bool:
    """Whether anything of the finals is evaluated."""
    return any(each.outcome is not Outcome.MISSING for each in archive.finals)


def champion(archive: Archive) -> ArchiveEntry | None:
    """The search's entry of the best evolved optimizer: the first of the finals.

    Before these it is the first of the search. None if every candidate failed.
    """
    if not finals_held(archive):
        return next(iter(leaders(archive, 1)), None)
    first = next((e for e in archive.finals if _scored(e) and e.candidate.role == "finalist"), None)
    if first is None:
        return None
    return next((e for e in archive.entries if e.candidate.id == first.candidate.id), first)


def leaders(archive: Archive, count: int) -> tuple[ArchiveEntry, ...]:
    """The best ``count`` evolved optimizers of the search that are comparable with the first.

    Those that compute the same as another one are left out.
    """
    scored = [each for each in archive.entries[:1] if _scored(each)]
    comparable = (
        e
        for e in archive.entries
        if scored
        and _scored(e)
        and e.protocol == scored[0].protocol
        and e.candidate.same_as is None
    )
    return tuple(islice(comparable, count))


def _scored(entry: ArchiveEntry) -> bool:
    return entry.fitness is not None


def _rank(scored: Iterable[Scored], own: str) -> tuple[ArchiveEntry, ...]:
    merged = [_merge(group, own) for group in _by_subject(scored)]
    merged.sort(key=lambda pair: _order(pair[0], pair[1], own))
    return tuple(
        _entry(rank, first, result) for rank, (first, result) in enumerate(merged, start=1)
    )


def _by_subject(scored: Iterable[Scored]) -> Iterable[list[Scored]]:
    groups: dict[str, list[Scored]] = {}
    for one in scored:
        groups.setdefault(one.candidate.id, []).append(one)
    return groups.values()


def _merge(group: list[Scored], own: str) -> tuple[Scored, Scored]:
    """Where a genome first appeared, and the result that counts."""
    by_time = sorted(group, key=lambda s: (s.generation, s.candidate.index, s.protocol != own))
    # A lost record says nothing about a genome, so that any evaluation comes before none.
    result = min(by_time, key=lambda s: (s.outcome is Outcome.MISSING, s.protocol != own))
    return by_time[0], result


def _entry(rank: int, first: Scored, result: Scored) -> ArchiveEntry:
    score = result.score
    return ArchiveEntry(
        rank=rank,
        generation=first.generation,
        candidate=first.candidate,
        protocol=result.protocol,
        outcome=result.outcome,
        fitness=score.fitness if score else None,
        validation_loss=score.validation_loss if score else None,
        test_accuracy=score.test_accuracy if score else None,
        rate=score.rate if score else None,
        steps=score.steps if score else 0,
    )


def _order(first: Scored, result: Scored, own: str) -> tuple[int, float, float, int, int, str]:
    # The id decides between two stages that share a number; a run's own stages never do.
    place = (first.generation, first.candidate.index, first.candidate.id)
    if result.score is None or result.score.fitness is None:
        return 2, 0.0, math.inf, *place
    loss = result.score.validation_loss
    return (
        int(result.protocol != own),
        -result.score.fitness,
        math.inf if loss is None else loss,
        *place,
    )
