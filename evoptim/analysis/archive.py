"""The ranking of everything that a run evaluated."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import islice

from evoptim.analysis.stage import Scored, StageResult, baselines, evolved
from evoptim.config import RunConfig
from evoptim.records import Archive, ArchiveEntry, Outcome


def build_archive(run: str, config: RunConfig, stages: Iterable[StageResult]) -> Archive:
    """Rank all genomes, and all baselines, by what the run found out about them.

    A genome has one entry. Scored under both protocols (a particle, where the initial protocol
    differs), it is ranked by the run's own; the entry keeps the generation and the candidate
    record with which it first appeared, which say where it comes from.

    The order is total and does not depend on the order of ``stages``: scored under the run's own
    protocol, then scored under the initial one only, then failed; within each by higher fitness,
    lower validation loss, earlier generation, lower index.
    """
    stages = tuple(stages)
    own = config.protocol.content_id()
    return Archive(
        run=run,
        config=config.content_id(),
        entries=_rank(evolved(stages), own),
        baselines=_rank(baselines(stages), own),
    )


def champion(archive: Archive) -> ArchiveEntry | None:
    """The best evolved optimizer; None if every candidate failed."""
    return archive.entries[0] if archive.entries and _scored(archive.entries[0]) else None


def leaders(archive: Archive, count: int) -> tuple[ArchiveEntry, ...]:
    """The best ``count`` evolved optimizers that are comparable with the champion."""
    best = champion(archive)
    if best is None:
        return ()
    comparable = (e for e in archive.entries if _scored(e) and e.protocol == best.protocol)
    return tuple(islice(comparable, count))


def _scored(entry: ArchiveEntry) -> bool:
    return entry.fitness is not None


def _rank(scored: Iterable[Scored], own: str) -> tuple[ArchiveEntry, ...]:
    merged = [_merge(group, own) for group in _by_subject(scored)]
    return tuple(
        entry.model_copy(update={"rank": rank})
        for rank, entry in enumerate(sorted(merged, key=lambda e: _order(e, own)), start=1)
    )


def _by_subject(scored: Iterable[Scored]) -> Iterable[list[Scored]]:
    groups: dict[str, list[Scored]] = {}
    for one in scored:
        groups.setdefault(one.candidate.id, []).append(one)
    return groups.values()


def _merge(group: list[Scored], own: str) -> ArchiveEntry:
    by_time = sorted(group, key=lambda s: (s.generation, s.candidate.index, s.protocol != own))
    first = by_time[0]
    # A lost record says nothing about a genome, so that any evaluation comes before none.
    result = min(by_time, key=lambda s: (s.outcome is Outcome.MISSING, s.protocol != own))
    evaluation = result.evaluation
    return ArchiveEntry(
        rank=1,
        generation=first.generation,
        candidate=first.candidate,
        protocol=result.protocol,
        outcome=result.outcome,
        fitness=evaluation.fitness if evaluation else None,
        validation_loss=evaluation.validation_loss if evaluation else None,
        test_accuracy=evaluation.test_accuracy if evaluation else None,
        rate=evaluation.rate if evaluation else None,
        steps=evaluation.steps if evaluation else 0,
    )


def _order(entry: ArchiveEntry, own: str) -> tuple[int, float, float, int, int, str]:
    # The id decides between two stages that share a number; a run's own stages never do.
    place = (entry.generation, entry.candidate.index, entry.candidate.id)
    if entry.fitness is None:
        return 2, 0.0, math.inf, *place
    loss = math.inf if entry.validation_loss is None else entry.validation_loss
    return int(entry.protocol != own), -entry.fitness, loss, *place
