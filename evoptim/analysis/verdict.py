"""What may be claimed of the best evolved optimizer, and what may not, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evoptim.analysis.finals import Finals, Relation
from evoptim.analysis.paired import least_p_value
from evoptim.analysis.result import Finalist
from evoptim.config import RunConfig, Value

_RELATIONS: tuple[tuple[Relation, str], ...] = (
    ("better", "better than"),
    ("undecided", "not distinguishable from"),
    ("worse", "worse than"),
    ("unknown", "not compared with"),
)
_UNDONE = "The finals are not held yet: the ranking of a search claims nothing by itself."


class Verdict(Value):
    """The outcome of the finals, by the test images, which took no part in choosing anything."""

    better_than: tuple[str, ...]
    """Baselines that the champion may be called better than."""
    text: str
    """The outcome in one or two sentences."""
    can: tuple[str, ...] = ()
    """What the finals show."""
    cannot: tuple[str, ...] = ()
    """What they do not show."""


def judge(finals: Finals | None, config: RunConfig) -> Verdict:
    """Say what the finals show.

    Args:
        finals: None where they are not held yet.
        config: the run's configuration.
    """
    if finals is None:
        return Verdict(better_than=(), text=_UNDONE)
    champion = finals.champion
    if champion is None:
        return Verdict(
            better_than=(),
            text="No evolved optimizer came through the finals, so there is nothing to compare.",
        )
    words = _Words(finals, champion, config)
    return Verdict(
        better_than=tuple(each.rival for each in finals.comparisons if each.relation == "better"),
        text=words.text(),
        can=tuple(words.can()),
        cannot=tuple(words.cannot()),
    )


@dataclass(frozen=True)
class _Words:
    finals: Finals
    champion: Finalist
    config: RunConfig

    def text(self) -> str:
        name = self.champion.name
        if not self.finals.comparisons:
            return f"{name} won the finals. No baseline took part, so there is nothing to compare."
        if len(self.finals.seeds) == 1:
            return (
                f"{name} won the finals, which had one seed: no interval and no test exist, so "
                "that nothing can be called better."
            )
        parts = [
            f"{words} {_listed([each.rival for each in found])}"
            for relation, words in _RELATIONS
            if (found := [e for e in self.finals.comparisons if e.relation == relation])
        ]
        return (
            f"On test images, under {len(self.finals.seeds)} fresh seeds, {name} is "
            f"{'; '.join(parts)}."
        )

    def can(self) -> list[str]:
        return [*self._found("better"), *self._found("worse"), *self._luck()]

    def _found(self, relation: Relation) -> list[str]:
        found = [each for each in self.finals.comparisons if each.relation == relation]
        if not found:
            return []
        rivals = [
            f"{each.rival} ({_points(each.difference.mean)})" for each in found if each.difference
        ]
        worst = max(each.corrected_p or 0.0 for each in found)
        return [
            f"{self.champion.name} is {relation} here than {_listed(rivals)}, in points of test "
            f"accuracy; corrected p {_p(worst)}{' at most' if len(found) > 1 else ''}."
        ]

    def _luck(self) -> list[str]:
        shrinkage, before = self.champion.shrinkage, self.champion.search_accuracy
        now = self.champion.validation_accuracy
        if shrinkage is None or before is None or now is None:
            return []
        flattered = (
            f"flattered it by {100 * shrinkage:.2f} points"
            if shrinkage > 0
            else "did not flatter it"
        )
        seeds = len(self.finals.seeds)
        return [
            f"The search measured {self.champion.name} at {before:.1%} of the validation images, "
            f"the finals at {now:.1%}: as far as {seeds} seed{'s' if seeds > 1 else ''} can tell, "
            f"being picked for it {flattered}."
        ]

    def cannot(self) -> list[str]:
        if len(self.finals.seeds) == 1:
            alone = "Any order at all: how much of a difference is chance takes several seeds."
            return [alone, *self._unknown(), self._scope()]
        return [
            *self._undecided(),
            *self._unknown(),
            *self._order(),
            self._test(),
            self._scope(),
        ]

    def _undecided(self) -> list[str]:
        found = [each for each in self.finals.comparisons if each.relation == "undecided"]
        if not found:
            return []
        intervals = [e.difference.interval for e in found if e.difference and e.difference.interval]
        widest = max((each.half for each in intervals), default=None)
        noise = (
            "all seeds differ alike, which tells nothing of the noise"
            if widest is None
            else f"the noise hides differences of up to {100 * widest:.2f} points either way"
        )
        names = _listed([each.rival for each in found])
        return [f"Whether {self.champion.name} is better or worse than {names}: {noise}."]

    def _unknown(self) -> list[str]:
        found = [each.rival for each in self.finals.comparisons if each.relation == "unknown"]
        return [f"Anything about {_listed(found)}, which failed in the finals."] if found else []

    def _order(self) -> list[str]:
        tied = [
            each.name
            for each in self.finals.finalists
            if each.ranks and each.ranks[0] == 1 and each.id != self.champion.id
        ]
        if not tied:
            return []
        return [
            f"That {self.champion.name} is the best of the table: by validation accuracy the "
            f"noise would also let {_listed(tied)} come first. It was picked there, so that its "
            "validation accuracy is still a little flattered; its test accuracy is not."
        ]

    def _test(self) -> str:
        seeds = len(self.finals.seeds)
        return (
            f"That a p-value is exact: those here are Student's, which takes the differences "
            f"between seeds for normally distributed. With {seeds} seeds a test that takes nothing "
            f"for granted cannot give a p below {least_p_value(seeds):.3g}."
        )

    def _scope(self) -> str:
        protocol = self.config.protocol
        rates = sum(len(group) for group in protocol.sweep.rates)
        tuning = self.finals.tuning
        tried = f"at most {rates} rates each"
        if tuning is not None:
            tried += f", and {tuning.rates} around the best of them"
        return (
            f"Anything beyond one data set ({protocol.task.name}), one network (base width "
            f"{protocol.model.base_width}) and one budget ({protocol.training.epochs} x "
            f"{protocol.training.steps_per_epoch} steps, {tried}, and torch's "
            "defaults for what else the baselines have)."
        )


def _points(fraction: float) -> str:
    return f"{100 * fraction:+.2f}".replace("-", "−")


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
