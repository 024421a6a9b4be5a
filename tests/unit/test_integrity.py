"""The integrity check against the NumPy evaluation, and its meaning."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
import torch
from genome_graph import MOMENTUM_NAMES, deterministic, graph_of
from numpy_reference import integrity, sphere_losses

import evoptim.integrity as integrity_module
from evoptim.config import SamplingProbabilities
from evoptim.genome import Genome, GenomeError
from evoptim.integrity import RATES, THRESHOLD, check_integrity
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


def test_all_losses_agree_with_numpy_but_for_chaos() -> None:
    close = []
    for seed in range(60):
        genome = sample_genome(Random(seed), SamplingProbabilities())
        if deterministic(genome):
            losses = check_integrity(genome).losses
            trials = sphere_losses(graph_of(genome), MOMENTUM_NAMES[genome.momentum])
            for (sign, rate, loss), trial in zip(losses, trials, strict=True):
                assert (sign == -1, rate) == (trial.flip, trial.lr)
                if np.isfinite(trial.loss):
                    close.append(abs(loss - trial.loss) <= 1e-4 * max(1.0, trial.loss))
    # The rest divide by what is nearly 0 or have travelled far beyond float32's precision.
    assert np.mean(close) >= 0.97


def test_rates_are_tried_from_large_to_small_and_without_the_sign_change_first() -> None:
    result = check_integrity("None ~ id(g)")
    lanes = [(sign, rate) for sign, rate, _ in result.losses]
    assert lanes == [(sign, rate) for sign in (1, -1) for rate in RATES]
    slow = check_integrity("None ~ (10-3w)+(id(g^3))")
    first = next((s, r, x) for s, r, x in slow.losses if x < THRESHOLD)
    assert (slow.sign, slow.rate, slow.loss) == first


def test_masks_depend_on_the_seed_alone() -> None:
    genome = "Mom ~ drop(id(g), 0.5)"
    torch.manual_seed(0)
    one = check_integrity(genome, seed=3)
    torch.manual_seed(1)
    assert check_integrity(genome, seed=3) == one
    assert check_integrity(genome, seed=4) != one


def test_the_check_is_float32_whatever_the_default_type() -> None:
    # e^w overflows float32 from 89 on: in float64 other rates would survive.
    genome = "None ~ (exp(g^3))*(g)"
    want = check_integrity(genome)
    integrity_module._sphere.cache_clear()
    torch.set_default_dtype(torch.float64)
    try:
        got = check_integrity(genome)
    finally:
        torch.set_default_dtype(torch.float32)
    assert repr(got) == repr(want)


def test_text_that_is_no_genome_is_refused() -> None:
    with pytest.raises(GenomeError, match="at position 8"):
        check_integrity("None ~ (q)")
