"""The run in one value: ``report/summary.json``."""

from __future__ import annotations

from collections.abc import Iterable

from evoptim.analysis.archive import build_archive, leaders
from evoptim.analysis.ledger import Ledger, Shape, account
from evoptim.analysis.noise import pooled_spread, standard_error
from evoptim.analysis.outcomes import OutcomeCount, count_outcomes
from evoptim.analysis.result import BASELINE_NAMES, Noise, Result, build_result
from evoptim.analysis.stage import StageResult
from evoptim.analysis.verdict import Verdict, compare
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
    """Content id of the protocol that scored particles, children and baselines."""
    task: str
    images: Images
    seed: int
    """Seed of the search."""
    training_seeds: tuple[int, ...]
    """Seeds of the full trainings behind each fitness."""
    generations: int
    """Generations evaluated after the initial one."""
    candidates: int
    """Different genomes evaluated."""
    scored: int
    """Those that have a fitness."""
    leaders: tuple[Result, ...]
    """The best evolved optimizers by validation, best first."""
    baselines: tuple[Result, ...]
    """Ranked likewise."""
    outcomes: tuple[OutcomeCount, ...]
    ledger: Ledger
    versions: dict[str, tuple[str, ...]]
    """All versions of each package that computed an evaluation, sorted."""
    verdict: Verdict
    caveats: tuple[str, ...]
    """What to keep in mind when reading the numbers, one sentence or two each."""

    @property
    def champion(self) -> Result | None:
        """The best evolved optimizer; None if every candidate failed."""
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
    best, rivals = _results(archive, records, images)
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
        baselines=rivals,
        outcomes=count_outcomes(stages),
        ledger=account(config, stages, images.shape, images.classes, reused),
        versions=_versions(records.values()),
        verdict=compare(best[0] if best else None, rivals),
        caveats=_caveats(best, scored, config, images),
    )


def _results(
    archive: Archive, records: dict[tuple[str, str], Score], images: Images
) -> tuple[tuple[Result, ...], tuple[Result, ...]]:
    """The leaders and the baselines, with intervals that share one spread over seeds."""
    best = leaders(archive, LEADERS)
    compared = (*best, *archive.baselines)
    scores = [records.get((each.candidate.id, each.protocol)) for each in compared]
    noise = Noise(
        validation_images=images.validation,
        test_images=images.test,
        validation_spread=pooled_spread(each.seed_validation for each in scores if each),
        test_spread=pooled_spread(each.seed_test for each in scores if each),
    )
    names = [f"Evolved {place}" for place in range(1, len(best) + 1)]
    names += [BASELINE_NAMES.get(b.candidate.id, b.candidate.id) for b in archive.baselines]
    results = tuple(
        build_result(name, entry, score, noise)
        for name, entry, score in zip(names, compared, scores, strict=True)
    )
    return results[: len(best)], results[len(best) :]


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
        _selection(scored),
        *_sampling(best[0].validation_accuracy, images),
        _seeds(config.protocol.seeds),
    )


def _selection(scored: int) -> str:
    return (
        f"Evolved 1 is the best of {scored} scored candidates, chosen on validation images, and "
        f"its epoch was chosen there too: its validation accuracy is biased upwards. Test images "
        f"took no part in any choice."
    )


def _sampling(accuracy: float, images: Images) -> tuple[str, ...]:
    if images.validation is None:
        return ()
    error = 100 * standard_error(accuracy, images.validation)
    return (
        f"On {images.validation:,} validation images an accuracy of {100 * accuracy:.1f}% has a "
        f"binomial standard error of {error:.2f} percentage points, so that ranks closer than "
        f"that are largely chance.",
    )


def _seeds(seeds: tuple[int, ...]) -> str:
    if len(seeds) == 1:
        return (
            f"Each optimizer was trained once (seed {seeds[0]}): the 95% intervals cover the "
            f"choice of images, not the luck of a training."
        )
    return (
        f"Each optimizer was trained under {len(seeds)} seeds "
        f"({', '.join(str(seed) for seed in seeds)}): the 95% intervals cover the choice of "
        f"images and the spread over seeds, taken to be alike for all optimizers of the table."
    )
