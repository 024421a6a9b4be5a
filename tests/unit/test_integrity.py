"""The integrity check against the NumPy evaluation, and its meaning."""

from __future__ import annotations

from random import Random

import numpy as np
from genome_graph import MOMENTUM_NAMES, deterministic, graph_of
from numpy_reference import integrity

from evoptim.config import SamplingProbabilities
from evoptim.genome import Genome
from evoptim.integrity import RATES, check_integrity
from evoptim.sampling import sample_genome


def test_verdicts_of_random_genomes_agree_with_numpy() -> None:
    compared = 0
    with np.errstate(all="ignore"):
        for seed in range(150):
            genome = sample_genome(Random(seed), SamplingProbabilities())
            if not deterministic(genome):
                continue
            compared += 1
            got = check_integrity(genome)
            want = integrity(graph_of(genome), MOMENTUM_NAMES[genome.momentum])
            assert got.passes == want.passes, str(genome)
            if got.passes:
                assert (got.sign == -1, got.rate) == (bool(want.flip), want.pass_lr), str(genome)
    assert compared > 100


def test_plain_descent_passes_without_and_ascent_with_the_sign_change() -> None:
    descent, ascent = check_integrity("None ~ id(g)"), check_integrity("None ~ -(g)")
    assert (descent.passes, descent.sign) == (True, 1)
    # A negation at the root is the other sign of the same canonical genome.
    assert (ascent.passes, ascent.sign) == (True, -1)
    assert (descent.rate, descent.loss) == (ascent.rate, ascent.loss)
    assert Genome.parse("None ~ -(g)").with_sign(-1).id == Genome.parse("None ~ id(g)").id


def test_what_ignores_the_gradient_fails() -> None:
    result = check_integrity("None ~ id(10-6w)")
    assert not result.passes
    assert result.rate is None
    assert len(result.losses) == 2 * len(RATES)


def test_the_genomes_own_sign_plays_no_part() -> None:
    genome = Genome.parse("Nest ~ tanh(v hat)")
    assert check_integrity(genome.with_sign(-1)) == check_integrity(genome)
