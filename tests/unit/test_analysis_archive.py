"""The ranking: own protocol, then initial protocol, then failed; fitness, loss, time of birth."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from sample_run import (
    baseline_candidate,
    evaluation,
    genome_candidate,
    sample_config,
    sample_run,
    stage_of,
)

from evoptim.analysis import build_archive, champion, leaders
from evoptim.records import Candidates, Outcome

TEXTS = [
    f"{momentum} ~ {outer}(arctan({leaf}))"
    for momentum in ("None", "Mom", "Nest")
    for outer in ("tanh", "erf", "exp")
    for leaf in ("g", "v hat", "s hat")
]


def stage(generation, protocol, *rows, role="initial"):
    """Rows are (formula, fitness or None or 'missing', loss)."""
    found = tuple(genome_candidate(text, i, role) for i, (text, _, _) in enumerate(rows))
    return stage_of(
        generation,
        Candidates(protocol=protocol, candidates=found),
        tuple(
            None if fitness == "missing" else evaluation(c.id, protocol, fitness, loss=loss)
            for c, (_, fitness, loss) in zip(found, rows, strict=True)
        ),
    )


def test_ranks_by_fitness_then_loss_then_generation_then_index():
    config = sample_config()
    own = config.protocol.content_id()
    first = stage(
        0,
        own,
        (TEXTS[0], 0.90, 0.3),
        (TEXTS[1], 0.95, 0.5),
        (TEXTS[2], 0.95, 0.4),
        (TEXTS[3], 0.90, 0.3),
    )
    second = stage(1, own, (TEXTS[4], 0.90, 0.3), (TEXTS[5], 0.99, 0.9), role="child")
    archive = build_archive("r", config, [second, first])
    # 0.99; then 0.95 with the smaller loss; then the three equal ones in order of birth.
    wanted = [TEXTS[5], TEXTS[2], TEXTS[1], TEXTS[0], TEXTS[3], TEXTS[4]]
    assert [entry.candidate.formula for entry in archive.entries] == wanted
    assert [entry.rank for entry in archive.entries] == [1, 2, 3, 4, 5, 6]
    assert champion(archive) == archive.entries[0]


def test_initial_protocol_ranks_below_the_own_one_however_good_and_failed_ones_come_last():
    config = sample_config(initial_protocol=True)
    own, initial = config.protocol.content_id(), config.initial_protocol.content_id()
    archive = build_archive(
        "r",
        config,
        [
            stage(0, initial, (TEXTS[0], 0.99, 0.1), (TEXTS[1], None, None), (TEXTS[2], 0.98, 0.1)),
            stage(1, own, (TEXTS[3], "missing", None), (TEXTS[4], 0.50, 1.0), role="child"),
        ],
    )
    assert [entry.candidate.formula for entry in archive.entries] == [
        TEXTS[4],
        TEXTS[0],
        TEXTS[2],
        TEXTS[1],
        TEXTS[3],
    ]
    assert archive.entries[-1].outcome is Outcome.MISSING
    assert [entry.candidate.formula for entry in leaders(archive, 5)] == [TEXTS[4]]


def test_a_particle_scored_again_has_one_entry_with_its_new_score_and_its_first_record():
    config = sample_config(initial_protocol=True)
    own, initial = config.protocol.content_id(), config.initial_protocol.content_id()
    again = stage(1, own, (TEXTS[0], 0.7, 0.2), role="particle")
    (entry,) = build_archive("r", config, [again, stage(0, initial, (TEXTS[0], 0.9, 0.1))]).entries
    assert (entry.fitness, entry.protocol) == (0.7, own)
    assert (entry.generation, entry.candidate.role) == (0, "initial")


def test_a_lost_second_score_leaves_the_first_one():
    config = sample_config(initial_protocol=True)
    own, initial = config.protocol.content_id(), config.initial_protocol.content_id()
    again = stage(1, own, (TEXTS[0], "missing", None), role="particle")
    (entry,) = build_archive("r", config, [stage(0, initial, (TEXTS[0], 0.9, 0.1)), again]).entries
    assert (entry.fitness, entry.protocol) == (0.9, initial)


def test_baselines_are_ranked_in_the_finals():
    config = sample_config()
    own = config.finals_protocol().content_id()
    found = tuple(baseline_candidate(name, i) for i, name in enumerate(("sgd", "adam")))
    records = (evaluation("sgd", own, 0.9), evaluation("adam", own, 0.95))
    archive = build_archive(
        "r", config, [stage_of(0, Candidates(protocol=own, candidates=found), records)]
    )
    assert archive.entries == ()
    assert [entry.candidate.id for entry in archive.finals] == ["adam", "sgd"]
    assert champion(archive) is None


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, "missing", 0.5, 0.75]),
            st.sampled_from([0.1, 0.2]),
            st.booleans(),
            st.integers(0, 2),
        ),
        max_size=len(TEXTS),
    ),
    st.randoms(use_true_random=False),
)
def test_the_ranking_is_a_permutation_and_does_not_depend_on_the_order_of_its_input(rows, shuffle):
    config = sample_config(initial_protocol=True)
    protocols = (config.protocol.content_id(), config.initial_protocol.content_id())
    stages = [
        stage(generation, protocols[own], (text, fitness, loss))
        for text, (fitness, loss, own, generation) in zip(TEXTS, rows, strict=False)
    ]
    archive = build_archive("r", config, stages)
    assert sorted(e.candidate.formula for e in archive.entries) == sorted(TEXTS[: len(rows)])
    assert [e.rank for e in archive.entries] == list(range(1, len(rows) + 1))
    shuffled = list(stages)
    shuffle.shuffle(shuffled)
    assert build_archive("r", config, shuffled) == archive


def test_a_whole_run_is_ranked_alike_in_any_order():
    run = sample_run()
    stages = list(run.stages)
    random.Random(1).shuffle(stages)
    assert build_archive(run.run, run.config, stages) == run.archive
    genomes = {c.id for s in stages for c in s.candidates.candidates if c.role != "baseline"}
    assert len(run.archive.finals) == 3 + 6
    assert {entry.candidate.id for entry in run.archive.entries} == genomes
    assert len(run.archive.entries) == 24 + 4 * 4 * 3
