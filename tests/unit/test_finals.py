"""The finals: who comes first, by how much, and what may be said of it."""

import pytest
from sample_run import (
    IMAGES,
    baseline_candidate,
    evaluation,
    genome_candidate,
    sample_config,
    stage_of,
)

from evoptim.analysis import Summary, build_archive, champion, summarise
from evoptim.config import FinalsSpec
from evoptim.records import Candidates, Outcome

# What a seed does to everyone, and to each on top of it.
SHARED = (0.004, -0.002, 0.0, -0.005, 0.003)
OWN = (
    (0.001, -0.001, 0.0005, 0.0, -0.0005),
    (-0.001, 0.0, 0.0005, 0.001, -0.0005),
    (0.0, 0.001, -0.001, -0.0005, 0.0005),
)


def genome(number, **more):
    leaf = ("g", "v hat", "s hat", "lam hat", "sign(g)", "g^2", "g^3")[number]
    return genome_candidate(f"None ~ tanh(arctan({leaf}))", **more)


def finalist(number, index=0):
    return genome(number).model_copy(update={"role": "finalist", "index": index})


def measured(candidate, protocol, validation, test=None, seeds=5, place=0):
    """A record of the finals with this mean under the seeds; None failed."""
    record = evaluation(
        candidate.id, protocol, validation, test=test, seeds=tuple(range(101, 101 + seeds))
    )
    if validation is None or test is None:
        return record
    trainings = []
    for training, shared, own in zip(record.trainings, SHARED, OWN[place], strict=False):
        luck = (shared + own) if seeds > 1 else 0.0
        last = training.curve[-1]
        last = last.model_copy(update={"validation_accuracy": validation + luck})
        trainings.append(
            training.model_copy(
                update={"curve": (*training.curve[:-1], last), "test_accuracy": test + luck}
            )
        )
    return record.model_copy(update={"trainings": tuple(trainings)})


def summary_of(search, finals, *, seeds=5, initial_protocol=False):
    """Of a run that scored genomes like ``search``, and then held these finals.

    Args:
        search: fitness of each genome.
        finals: rows of (candidate, validation, test).
        seeds: seeds of the finals.
        initial_protocol: whether the search scored them under another protocol.
    """
    config = sample_config(initial_protocol=initial_protocol).model_copy(
        update={"finals": FinalsSpec(seeds=tuple(range(101, 101 + seeds)))}
    )
    own = (config.initial_protocol or config.protocol).content_id()
    found = tuple(genome(i, index=i) for i in range(len(search)))
    stages = [
        stage_of(
            0,
            Candidates(protocol=own, candidates=found),
            [evaluation(c.id, own, f) for c, f in zip(found, search, strict=True)],
        )
    ]
    if finals:
        protocol = config.finals_protocol().content_id()
        rows = [(c.model_copy(update={"index": i}), *row) for i, (c, *row) in enumerate(finals)]
        stages.append(
            stage_of(
                0,
                Candidates(protocol=protocol, candidates=tuple(c for c, *_ in rows)),
                [
                    None if row == ["lost"] else measured(c, protocol, *row, seeds, c.index)
                    for c, *row in rows
                ],
            )
        )
    return summarise("r", config, stages, IMAGES), build_archive("r", config, stages)


ADAM, SGD = baseline_candidate("adam"), baseline_candidate("sgd")


def test_the_finals_rank_by_fresh_seeds_and_name_by_the_search():
    summary, archive = summary_of(
        [0.97, 0.96, 0.90],
        [(finalist(0), 0.94, 0.93), (finalist(1), 0.955, 0.95), (ADAM, 0.945, 0.94)],
    )
    assert [each.name for each in summary.finals.finalists] == ["Evolved 2", "Adam", "Evolved 1"]
    assert [each.rank for each in summary.finals.finalists] == [1, 2, 3]
    # The first of the search is not the champion, which keeps its place there.
    assert summary.champion == summary.finals.finalists[0]
    assert champion(archive) == archive.entries[1]
    assert [each.name for each in summary.leaders] == ["Evolved 1", "Evolved 2", "Evolved 3"]
    assert summary.champion.search_accuracy == 0.96
    assert summary.champion.shrinkage == pytest.approx(0.005)
    assert (
        "as far as 5 seeds can tell, being picked for it flattered it by 0.50 points"
        in " ".join(summary.verdict.can)
    )


def test_a_difference_beyond_the_noise_is_called_one_and_no_other():
    summary, _ = summary_of(
        [0.96], [(finalist(0), 0.95, 0.94), (ADAM, 0.951, 0.9402), (SGD, 0.90, 0.89)]
    )
    relations = {each.rival: each.relation for each in summary.finals.comparisons}
    assert relations == {"Adam": "undecided", "SGD": "better"}
    assert summary.verdict.better_than == ("SGD",)
    assert "is better than SGD; not distinguishable from Adam." in summary.verdict.text
    assert any("better here than SGD (+5.00), in points" in each for each in summary.verdict.can)
    assert any("better or worse than Adam: the noise hides" in e for e in summary.verdict.cannot)
    assert any("let Adam come first" in each for each in summary.verdict.cannot)
    # The order is that of validation, the places are those that noise allows.
    assert [(e.name, e.ranks) for e in summary.finals.finalists] == [
        ("Adam", (1, 2)),
        ("Evolved 1", (1, 2)),
        ("SGD", (3, 3)),
    ]


def test_a_champion_that_is_worse_is_called_worse():
    summary, _ = summary_of([0.96], [(finalist(0), 0.90, 0.89), (ADAM, 0.95, 0.94)])
    assert summary.champion.name == "Evolved 1"
    assert "is worse than Adam." in summary.verdict.text
    assert summary.verdict.better_than == ()
    assert any("worse here than Adam (−5.00), in points" in each for each in summary.verdict.can)


def test_one_seed_has_no_interval_and_claims_nothing():
    summary, _ = summary_of([0.96], [(finalist(0), 0.95, 0.94), (SGD, 0.50, 0.49)], seeds=1)
    first = summary.finals.finalists[0]
    assert (first.validation_interval, first.test_interval, first.ranks) == (None, None, (1, 2))
    assert [each.relation for each in summary.finals.comparisons] == ["undecided"]
    assert "no interval and no test exist" in summary.verdict.text
    assert any("takes several seeds" in each for each in summary.verdict.cannot)


def test_who_fails_in_the_finals_comes_last_and_is_no_champion():
    summary, _ = summary_of(
        [0.97, 0.96], [(finalist(0), None), (finalist(1), 0.95, 0.94), (ADAM, None)]
    )
    assert summary.champion.name == "Evolved 2"
    assert {e.ranks for e in summary.finals.finalists[1:]} == {None}
    assert [each.relation for each in summary.finals.comparisons] == ["unknown"]
    assert any("Anything about Adam" in each for each in summary.verdict.cannot)


@pytest.mark.parametrize(
    ("finals", "text"),
    [
        ([], "The finals are not held yet"),
        ([(finalist(0), "lost"), (ADAM, "lost")], "The finals are not held yet"),
        ([(finalist(0), None), (ADAM, 0.9, 0.9)], "No evolved optimizer came through the finals"),
        ([(finalist(0), 0.9, 0.9)], "No baseline took part"),
    ],
    ids=["none", "proposed", "failed", "alone"],
)
def test_the_verdict_says_when_there_is_nothing_to_say(finals, text):
    summary, _ = summary_of([0.9], finals)
    assert text in summary.verdict.text
    assert summary.verdict.better_than == ()


def test_before_the_finals_the_best_of_the_search_stands_in_without_test_images():
    summary, archive = summary_of([0.9, 0.95], [])
    assert summary.finals is None
    assert (summary.champion.name, summary.champion.validation_accuracy) == ("Evolved 1", 0.95)
    assert summary.champion.test_accuracy is None
    assert champion(archive) == archive.entries[0]


def test_another_protocols_fitness_is_no_measure_of_luck():
    summary, _ = summary_of([0.99], [(finalist(0), 0.9, 0.9)], initial_protocol=True)
    assert summary.champion.search_accuracy is None
    assert not any("flatter" in each for each in summary.verdict.can)


def test_finalists_keep_the_generation_that_they_come_from():
    config = sample_config()
    own, final = config.protocol.content_id(), config.finals_protocol().content_id()
    child = genome(1, role="child", parent=genome(0).id, particle=0)
    stages = [
        stage_of(
            0,
            Candidates(protocol=own, candidates=(genome(0),)),
            [evaluation(genome(0).id, own, 0.5)],
        ),
        stage_of(
            1, Candidates(protocol=own, candidates=(child,)), [evaluation(child.id, own, 0.9)]
        ),
        stage_of(
            0,
            Candidates(protocol=final, candidates=(finalist(1),)),
            [evaluation(child.id, final, 0.8, test=0.8)],
        ),
    ]
    archive = build_archive("r", config, stages)
    assert [(e.generation, e.protocol, e.fitness) for e in archive.finals] == [(1, final, 0.8)]
    # What the finals measured takes no part in the ranking of the search.
    assert [(e.rank, e.fitness) for e in archive.entries] == [(1, 0.9), (2, 0.5)]
    assert archive.entries[0].outcome is Outcome.TRAINED


def test_a_summary_survives_json():
    summary, _ = summary_of([0.96], [(finalist(0), 0.95, 0.94), (SGD, 0.90, 0.89)])
    assert Summary.model_validate_json(summary.model_dump_json()) == summary
