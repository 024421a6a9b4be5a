"""The line of descent of the best optimizer, mutation by mutation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from evoptim.analysis.archive import champion
from evoptim.records import Archive, ArchiveEntry, Population


@dataclass(frozen=True)
class Step:
    """One genome of the line."""

    kind: Literal["origin", "ancestor", "champion", "later"]
    """``later``: what the particle became after the champion (a worse child may replace it)."""
    entry: ArchiveEntry
    siblings: int
    """How many children its parent had in that generation, this one included; 0 for the
    origin."""
    gain: float | None
    """Fitness minus that of the step before, a fraction; None if either failed, if they were
    scored under different protocols, or for the origin."""


def champion_lineage(archive: Archive, populations: Iterable[Population] = ()) -> tuple[Step, ...]:
    """From the random genome that it began with to the champion, and on to the particle's end.

    Args:
        archive: the run's archive.
        populations: what each generation's selection left, in any order; without them the line
            ends with the champion.

    Returns:
        The steps, oldest first; empty if every candidate failed.
    """
    best = champion(archive)
    if best is None:
        return ()
    entries = {entry.candidate.id: entry for entry in archive.entries}
    line = _ancestry(best, entries)
    end = len(line) - 1
    known = {entry.candidate.id for entry in line}
    line += [e for e in _later(best, populations, entries) if e.candidate.id not in known]
    broods = Counter((entry.candidate.parent, entry.generation) for entry in archive.entries)
    steps = []
    for place, entry in enumerate(line):
        before = line[place - 1] if place else None
        steps.append(
            Step(
                kind=_kind(place, end),
                entry=entry,
                siblings=broods[entry.candidate.parent, entry.generation] if before else 0,
                gain=_gain(before, entry),
            )
        )
    return tuple(steps)


def _kind(place: int, end: int) -> Literal["origin", "ancestor", "champion", "later"]:
    if place == end:
        return "champion"
    if place > end:
        return "later"
    return "origin" if place == 0 else "ancestor"


def _ancestry(best: ArchiveEntry, entries: dict[str, ArchiveEntry]) -> list[ArchiveEntry]:
    line = {best.candidate.id: best}
    parent = best.candidate.parent
    # Membership guards against records that name each other as parents.
    while parent is not None and parent in entries and parent not in line:
        line[parent] = entries[parent]
        parent = entries[parent].candidate.parent
    return list(line.values())[::-1]


def _later(
    best: ArchiveEntry, populations: Iterable[Population], entries: dict[str, ArchiveEntry]
) -> list[ArchiveEntry]:
    ordered = sorted(populations, key=lambda population: population.generation)
    particle = best.candidate.particle
    if particle is None:
        particle = next(
            (p.particle for o in ordered for p in o.particles if p.id == best.candidate.id), None
        )
    ends = [
        p.id
        for population in ordered
        if population.generation > best.generation
        for p in population.particles
        if p.particle == particle and p.id in entries
    ]
    return [entries[genome] for genome in dict.fromkeys(ends)]


def _gain(before: ArchiveEntry | None, entry: ArchiveEntry) -> float | None:
    if before is None or before.protocol != entry.protocol:
        return None
    if before.fitness is None or entry.fitness is None:
        return None
    return entry.fitness - before.fitness
