"""The table of all candidates, bounded in size."""

from __future__ import annotations

from dataclasses import dataclass

from evoptim.records import Archive, ArchiveEntry

MAX_ROWS = 1_000
"""Rows of the table: some 400 kB of page at most. The archive in the store has them all."""

MAX_FORMULA = 160
"""Characters of a formula in the table."""


@dataclass(frozen=True)
class CandidateTable:
    """The best rows of the archive."""

    entries: tuple[ArchiveEntry, ...]
    left_out: int
    own_protocol: str


def candidate_table(archive: Archive, own_protocol: str) -> CandidateTable:
    """Take the best rows, and say how many are left out."""
    entries = archive.entries[:MAX_ROWS]
    return CandidateTable(entries, len(archive.entries) - len(entries), own_protocol)


def shortened(text: str, limit: int = MAX_FORMULA) -> str:
    """The text, cut at ``limit`` characters with an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
