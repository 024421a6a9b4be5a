"""What a report is made of: plain records, no store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from evoptim.analysis import Images, Result, StageResult, Summary, build_archive, summarise
from evoptim.config import RunConfig
from evoptim.records import Archive, Evaluation, Population


@dataclass(frozen=True)
class ReportInputs:
    """A run, finished or not."""

    run: str
    config: RunConfig
    stages: tuple[StageResult, ...]
    """Every generation that has been evaluated, and the finals, in any order."""
    populations: tuple[Population, ...] = ()
    drawn: Mapping[tuple[str, str], Evaluation] = field(default_factory=dict)
    """The whole records of whoever is in the finals, or of the leaders before them, by (subject,
    protocol): their learning curves. One that is not there is not drawn."""
    images: Images | None = None
    """How many images the task really had; None if that is not known."""
    parameters: int | None = None
    """Trainable parameters of the model, if known."""
    reused: int | None = None
    """How many evaluations were found in the store; None if that is not known."""
    command: str | None = None
    """The command line that made the run, if known."""

    @cached_property
    def archive(self) -> Archive:
        """Everything that was evaluated, ranked."""
        return build_archive(self.run, self.config, self.stages)

    @cached_property
    def best(self) -> tuple[Result, ...]:
        """The evolved optimizers that the report shows: the finalists, or before them the leaders.

        Best first.
        """
        finals = self.summary.finals
        return self.summary.leaders if finals is None else finals.evolved

    @property
    def baselines(self) -> tuple[Result, ...]:
        """The baselines, best first; none before the finals."""
        finals = self.summary.finals
        return () if finals is None else finals.baselines

    @cached_property
    def summary(self) -> Summary:
        """The run in one value."""
        return summarise(self.run, self.config, self.stages, self.images, self.reused, self.archive)
