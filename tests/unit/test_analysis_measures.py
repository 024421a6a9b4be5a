"""Curves, lineage, outcomes, cost, noise and verdict, on runs small enough to work out by hand."""

import math

import pytest
from sample_run import (
    IMAGES,
    baseline_candidate,
    evaluation,
    genome_candidate,
    sample_config,
    sample_run,
    stage_of,
)

from evoptim.analysis import (
    Images,
    Spread,
    Summary,
    accuracy_interval,
    build_archive,
    champion_lineage,
    count_outcomes,
    generation_curve,
    outcomes_by_generation,
    pooled_spread,
    standard_error,
    summarise,
)
from evoptim.errors import InputError
from evoptim.records import Candidates, Outcome, Particle, Population

OWN = sample_config().protocol.content_id()


def stage(generation, *rows, protocol=OWN, seeds=(0,)):
    """Rows are (candidate, fitness or Outcome or None for a missing record)."""
    records = []
    for candidate, result in rows:
        if result is None:
            records.append(None)
        elif isinstance(result, Outcome):
            records.append(evaluation(candidate.id, protocol, None, outcome=result))
        else:
            records.append(evaluation(candidate.id, protocol, result, seeds=seeds))
    found = tuple(c.model_copy(update={"index": i}) for i, (c, _) in enumerate(rows))
    return stage_of(generation, Candidates(protocol=protocol, candidates=found), records)


def genome(number, **more):
    leaf = ("g", "v hat", "s hat", "lam hat", "sign(g)", "g^2", "g^3")[number]
    return genome_candidate(f"None ~ tanh(arctan({leaf}))", **more)


def child(number, parent, **more):
    return genome(number, role="child", parent=parent.id, particle=0, change=f"{number}", **more)


def test_a_stage_refuses_scores_of_something_else():
    with pytest.raises(InputError, match="one score or None for each candidate, got 0 for 1"):
        stage_of(0, Candidates(protocol=OWN, candidates=(genome(0),)), ())
    with pytest.raises(InputError, match="got adam"):
        stage_of(
            0,
            Candidates(protocol=OWN, candidates=(genome(0),)),
            (evaluation("adam", OWN, 0.5),),
        )


def test_the_curve_gives_quartiles_of_what_is_scored_and_the_best_so_far():
    stages = [
        stage(1, (child(5, genome(0)), 0.55), (child(6, genome(0)), Outcome.DIVERGED)),
        stage(0, *[(genome(i), f) for i, f in enumerate((0.1, 0.2, 0.3, 0.4, 0.6))]),
        stage(0, (baseline_candidate("adam"), 0.99)),
    ]
    first, second = generation_curve(OWN, stages)
    # Of five values the quartiles are the second, third and fourth.
    assert (first.lower_quartile, first.median, first.upper_quartile) == (0.2, 0.3, 0.4)
    assert (first.best, first.best_so_far, first.candidates, first.scored) == (0.6, 0.6, 5, 5)
    assert (second.best, second.median, second.best_so_far) == (0.55, 0.55, 0.6)
    assert (second.candidates, second.scored) == (2, 1)


def test_scores_of_the_initial_protocol_are_not_comparable_and_never_the_best_so_far():
    particle = genome(0, role="particle", particle=0)
    stages = [
        stage(0, (genome(0), 0.9), protocol="other"),
        stage(1, (particle, 0.5), (child(1, particle), 0.4)),
    ]
    first, second = generation_curve(OWN, stages)
    assert (first.comparable, first.best, first.best_so_far) == (False, 0.9, None)
    # The particle is no new candidate, but its new score counts as the best so far.
    assert (second.comparable, second.best, second.best_so_far) == (True, 0.4, 0.5)
    assert second.candidates == 1


def test_a_generation_without_a_score_has_no_quartiles():
    (point,) = generation_curve(OWN, [stage(0, (genome(0), None))])
    assert (point.best, point.median, point.best_so_far, point.scored) == (None, None, None, 0)


def test_the_lineage_goes_back_to_the_random_genome_and_on_to_the_end_of_the_particle():
    origin, middle, best, later = genome(0), child(1, genome(0)), None, None
    best = child(2, middle)
    later = child(3, best)
    stages = [
        stage(0, (origin, 0.5)),
        stage(1, (middle, 0.25), (child(4, origin), 0.125)),
        stage(2, (best, 0.75), (child(5, middle), Outcome.DIVERGED)),
        stage(3, (later, 0.5)),
    ]
    archive = build_archive("r", sample_config(), stages)
    ends = (origin, middle, best, later)
    populations = [
        Population(
            generation=g,
            particles=(
                Particle(
                    particle=0,
                    id=c.id,
                    formula=c.formula,
                    gene=c.gene,
                    fitness=None,
                    validation_loss=None,
                    generation=g,
                ),
            ),
        )
        for g, c in enumerate(ends)
    ]
    steps = champion_lineage(archive, populations)
    assert [step.kind for step in steps] == ["origin", "ancestor", "champion", "later"]
    assert [step.entry.candidate.id for step in steps] == [c.id for c in ends]
    assert [step.gain for step in steps] == [None, -0.25, 0.5, -0.25]
    assert [step.siblings for step in steps] == [0, 2, 2, 1]
    assert champion_lineage(archive) == steps[:3]


def test_a_line_has_no_gain_across_protocols():
    stages = [
        stage(0, (genome(0), 0.9), protocol="other"),
        stage(1, (child(1, genome(0)), 0.5)),
    ]
    steps = champion_lineage(build_archive("r", sample_config(), stages))
    assert [(step.kind, step.gain) for step in steps] == [("origin", None), ("champion", None)]


def test_records_that_name_each_other_as_parents_do_not_hang_the_lineage():
    one, two = genome(0), genome(1)
    stages = [stage(1, (child(0, two), 0.5), (child(1, one), 0.4))]
    archive = build_archive("r", sample_config(), stages)
    assert [step.entry.fitness for step in champion_lineage(archive)] == [0.4, 0.5]


def test_outcomes_are_counted_with_cause_and_remedy_and_without_baselines():
    stages = [
        stage(0, (genome(0), 0.5), (genome(1), Outcome.DIVERGED), (genome(2), None)),
        stage(1, (genome(3), 0.5)),
        stage(0, (baseline_candidate("adam"), 0.9)),
    ]
    counts = count_outcomes(stages)
    assert [(c.outcome, c.count) for c in counts] == [
        (Outcome.TRAINED, 2),
        (Outcome.DIVERGED, 1),
        (Outcome.MISSING, 1),
    ]
    assert all(c.cause == c.outcome.cause and c.remedy == c.outcome.remedy for c in counts)
    assert [one.counts for one in outcomes_by_generation(stages)] == [
        {Outcome.TRAINED: 1, Outcome.DIVERGED: 1, Outcome.MISSING: 1},
        {Outcome.TRAINED: 1},
    ]


def test_the_standard_error_is_the_binomial_one():
    assert standard_error(0.9, 400) == pytest.approx(0.015)  # sqrt(0.09 / 400)


@pytest.mark.parametrize(
    ("accuracy", "images", "low", "high"),
    [
        # Wilson's interval as published worked examples give it, to the four places they print.
        (0.5, 100, 0.4038, 0.5962),
        (0.9, 10, 0.5958, 0.9821),
        (0.0, 10, 0.0, 0.2775),
        (1.0, 10, 0.7225, 1.0),
    ],
)
def test_the_interval_of_one_training_is_wilsons(accuracy, images, low, high):
    interval = accuracy_interval([accuracy], images)
    assert (interval.low, interval.high) == (
        pytest.approx(low, abs=5e-5),
        pytest.approx(high, abs=5e-5),
    )


def test_the_spread_over_seeds_is_pooled_over_optimizers():
    spread = pooled_spread([(0.5, 0.5), (0.49, 0.51), (0.9,)])
    # Squares about the means: 0 + 2e-4, over 1 + 1 degrees of freedom.
    assert (spread.deviation, spread.degrees) == (pytest.approx(0.01), 2)
    assert pooled_spread([(0.5,), ()]) is None


def test_the_spread_over_seeds_widens_the_interval():
    one = accuracy_interval([0.5], 100)
    spread = Spread(deviation=0.01, degrees=2)
    wide = accuracy_interval([0.49, 0.51], 100, spread)
    # Student's t at 2 degrees of freedom is 4.30265; the mean of two has 0.01 / sqrt(2).
    half = 4.30265 * 0.01 / math.sqrt(2)
    assert wide.high - 0.5 == pytest.approx(math.hypot(one.high - 0.5, half), abs=1e-6)
    assert 0.5 - wide.low == pytest.approx(math.hypot(0.5 - one.low, half), abs=1e-6)


def small_run(champion, rivals, *, seeds=(0,), images=IMAGES):
    config = sample_config(seeds=seeds)
    own = config.protocol.content_id()
    names = ("adam", "sgd")[: len(rivals)]
    baselines = [(baseline_candidate(n), f) for n, f in zip(names, rivals, strict=True)]
    genomes = [] if champion is None else [(genome(0), champion)]
    stages = [
        stage(0, *genomes, protocol=own, seeds=seeds),
        stage(0, *baselines, protocol=own, seeds=seeds),
    ]
    return summarise("r", config, stages, images)


def test_overlapping_intervals_are_not_called_better():
    verdict = small_run(0.95, [0.94]).verdict
    assert verdict.relations == {"Adam": "overlapping"}
    assert verdict.better_than == ()
    assert "not distinguishable from Adam" in verdict.text


def test_disjoint_intervals_of_single_trainings_are_not_yet_a_claim():
    verdict = small_run(0.95, [0.80]).verdict
    assert verdict.relations == {"Adam": "above"}
    assert verdict.better_than == ()
    assert "not yet a claim" in verdict.text
    assert "better" not in verdict.text


def test_disjoint_intervals_over_several_seeds_are_a_claim():
    verdict = small_run(0.95, [0.80, 0.99], seeds=(0, 1, 2)).verdict
    assert verdict.relations == {"SGD": "below", "Adam": "above"}
    assert verdict.better_than == ("Adam",)
    assert "better than Adam (disjoint 95% intervals)" in verdict.text


@pytest.mark.parametrize(
    ("summary", "text"),
    [
        (small_run(None, [0.9]), "nothing to compare"),
        (small_run(0.9, []), "nothing to compare with"),
        (small_run(0.9, [0.1], images=Images()), "for lack of a test accuracy"),
    ],
)
def test_the_verdict_says_when_there_is_nothing_to_say(summary, text):
    assert text in summary.verdict.text
    assert summary.verdict.better_than == ()


def test_a_champion_of_the_initial_protocol_is_not_compared():
    config = sample_config(initial_protocol=True)
    stages = [
        stage(0, (genome(0), 0.9), protocol=config.initial_protocol.content_id()),
        stage(0, (baseline_candidate("adam"), 0.5), protocol=config.protocol.content_id()),
    ]
    verdict = summarise("r", config, stages, IMAGES).verdict
    assert "not comparable" in verdict.text
    assert verdict.relations == {}


def test_a_summary_tells_noise_seeds_and_selection_and_survives_json():
    run = sample_run(sample_config(seeds=(0, 1)))
    summary = run.summary
    assert summary.candidates == 72
    assert summary.scored == sum(e.fitness is not None for e in run.archive.entries)
    selection, sampling, seeds = summary.caveats
    assert f"best of {summary.scored} scored candidates" in selection
    error = 100 * standard_error(summary.champion.validation_accuracy, 400)
    assert f"standard error of {error:.2f} percentage points" in sampling
    assert "2 seeds (0, 1)" in seeds
    assert summary.versions["torch"] == ("2.13.0",)
    assert Summary.model_validate_json(summary.model_dump_json()) == summary
