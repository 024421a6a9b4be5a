"""The run in one value: ``report/summary.json``."""

from __future__ import annotations

from collections.abc import Iterable

from evoptim.analysis.archive import build_archive, leaders
from evoptim.analysis.finals import Finals, build_finals
from evoptim.analysis.ledger import Ledger, Shape, account
from evoptim.analysis.noise import standard_error
from evoptim.analysis.outcomes import OutcomeCount, count_outcomes
from evoptim.analysis.result import Result, build_result, name_of
from evoptim.analysis.stage import StageResult
from evoptim.analysis.verdict import Verdict, judge
from evoptim.config import RunConfig, Value
from evoptim.records import Archive, Score

LEADERS = 5
"""How many of the best evolved optimizers a summary holds."""


class Images(Value):
    """The images that the task really had; None where that is not known."""

    train: int | None = None
    validation: int | None = None
    test: int | None = None
    shape: Shape | None = None
    """Channels, height and width."""
    classes: int | None = None


class Summary(Value):
    """What a run found, at what cost, and how far it can be trusted."""

    run: str
    config: str
    """Content id of the run's configuration."""
    protocol: str
    """Content id of the protocol that scored particles and children."""
    task: str
    images: Images
    seed: int
    """Seed of the search."""
    training_seeds: tuple[int, ...]
    """Seeds of the full trainings behind each fitness of the search."""
    generations: int
    """Generations evaluated after the initial one."""
    candidates: int
    """Different genomes evaluated."""
    scored: int
    """Those that have a fitness."""
    leaders: tuple[Result, ...]
    """The best evolved optimizers of the search by validation, best first."""
    finals: Finals | None
    """None until they are held."""
    outcomes: tuple[OutcomeCount, ...]
    ledger: Ledger
    versions: dict[str, tuple[str, ...]]
    """All versions of each package that computed an evaluation, sorted."""
    verdict: Verdict
    caveats: tuple[str, ...]
    """What to keep in mind when reading the numbers, one sentence or two each."""

    @property
    def champion(self) -> Result | None:
        """The best evolved optimizer of the finals, or of the search before they are held.

        None if every candidate failed.
        """
        if self.finals is not None:
            return self.finals.champion
        return self.leaders[0] if self.leaders else None


def summarise(
    run: str,
    config: RunConfig,
    stages: Iterable[StageResult],
    images: Images | None = None,
    reused: int | None = None,
    archive: Archive | None = None,
) -> Summary:
    """Summarise a run from its records.

    Args:
        run: name of the run.
        config: its configuration.
        stages: every stage that has been evaluated, in any order.
        images: how many images the task really had; None if that is not known.
        reused: how many evaluations were found in the store; None if that is not known.
        archive: their archive, where it is made already.
    """
    stages = tuple(stages)
    images = images or Images()
    archive = archive or build_archive(run, config, stages)
    records = _records(stages)
    best = _leaders(archive, records)
    finals = build_finals(archive, records, config)
    scored = sum(entry.fitness is not None for entry in archive.entries)
    return Summary(
        run=run,
        config=archive.config,
        protocol=config.protocol.content_id(),
        task=config.protocol.task.name,
        images=images,
        seed=config.seed,
        training_seeds=config.protocol.seeds,
        generations=max((stage.generation for stage in stages), default=0),
        candidates=len(archive.entries),
        scored=scored,
        leaders=best,
        finals=finals,
        outcomes=count_outcomes(stages),
        ledger=account(config, stages, images.shape, images.classes, reused),
        versions=_versions(records.values()),
        verdict=judge(finals, config),
        caveats=_caveats(best, scored, config, images),
    )


def _leaders(archive: Archive, records: dict[tuple[str, str], Score]) -> tuple[Result, ...]:
    return tuple(
        build_result(
            name_of(each, each.rank), each, records.get((each.candidate.id, each.protocol))
        )
        for each in leaders(archive, LEADERS)
    )


def _records(stages: Iterable[StageResult]) -> dict[tuple[str, str], Score]:
    return {
        (scored.candidate.id, scored.protocol): scored.score
        for stage in stages
        for scored in stage
        if scored.score is not None
    }


def _versions(records: Iterable[Score]) -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = {}
    for record in records:
        for package, version in record.versions:
            found.setdefault(package, set()).add(version)
    return {package: tuple(sorted(found[package])) for package in sorted(found)}


def _caveats(
    best: tuple[Result, ...], scored: int, config: RunConfig, images: Images
) -> tuple[str, ...]:
    if not best or best[0].validation_accuracy is None:
        return ()
    return (
        _selection(scored, config.finals.seeds),
        *_sampling(best[0].validation_accuracy, images),
    )


def _selection(scored: int, seeds: tuple[int, ...]) -> str:
    return (
        f"Evolved 1 is the best of {scored} scored candidates by validation accuracy, and each "
        f"candidate's epoch was chosen there too: what the search measured is biased upwards. So "
        f"the finals measure the best ones again under {_fresh(seeds)}. Test images are looked at "
        f"only there, once for each training, at its end."
    )


def _fresh(seeds: tuple[int, ...]) -> str:
    if len(seeds) == 1:
        return f"one fresh seed ({seeds[0]}), which leaves the luck of a training unknown"
    return (
        f"{len(seeds)} fresh seeds ({', '.join(str(seed) for seed in seeds)}); the 95% intervals "
        f"are Student's over these"
    )


def _sampling(accuracy: float, images: Images) -> tuple[str, ...]:
    if images.validation is None:
        return ()
    error = 100 * standard_error(accuracy, images.validation)
    return (
        f"On {images.validation:,} validation images an accuracy of {100 * accuracy:.1f}% has a "
        f"binomial standard error of {error:.2f} percentage points: other images would give "
        f"another number. All optimizers share theirs, so that differences vary less.",
    )
