"""Curves, lineage, outcomes, cost and summary, on runs small enough to work out by hand."""

import pytest
from sample_run import (
    baseline_candidate,
    evaluation,
    genome_candidate,
    sample_config,
    sample_run,
    stage_of,
)

from evoptim.analysis import (
    Summary,
    build_archive,
    champion_lineage,
    count_outcomes,
    generation_curve,
    outcomes_by_generation,
    standard_error,
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


def test_outcomes_are_counted_with_cause_and_remedy_and_without_the_finals():
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


def test_a_summary_tells_noise_seeds_and_selection_and_survives_json():
    run = sample_run(sample_config(seeds=(0, 1)))
    summary = run.summary
    assert summary.candidates == 72
    assert summary.scored == sum(e.fitness is not None for e in run.archive.entries)
    selection, sampling = summary.caveats
    assert f"best of {summary.scored} scored candidates" in selection
    assert "5 fresh seeds (101, 102, 103, 104, 105)" in selection
    error = 100 * standard_error(summary.leaders[0].validation_accuracy, 400)
    assert f"standard error of {error:.2f} percentage points" in sampling
    assert summary.versions["torch"] == ("2.13.0",)
    assert Summary.model_validate_json(summary.model_dump_json()) == summary
