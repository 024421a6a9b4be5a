"""Fingerprints: one for all formulas of an update, another one for any other update."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
from itertools import combinations
from random import Random

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import genomes

from evoptim import fingerprint as module
from evoptim.config import SamplingProbabilities
from evoptim.decay.primitives import PRIMITIVES
from evoptim.fingerprint import difference, fingerprint, signed_updates
from evoptim.genome import MAX_HIDDEN, Edge, Genome, Node
from evoptim.integrity import uniform_source
from evoptim.operands import OPERANDS
from evoptim.operators import BINARY, UNARY
from evoptim.sampling import sample_genome
from evoptim.update import compile_genome, update_direction

REWRITES = [
    ("(X)+(Y)", "(Y)+(X)"),
    ("(X)+(Y)", "(X)-(-(Y))"),
    ("max(X, Y)", "max(Y, X)"),
    ("max(X, Y)", "-(min(-(X), -(Y)))"),
    ("(X)*(Y)", "-((X)*(-(Y)))"),
    ("(X)-(Y)", "-((Y)-(X))"),
    ("tanh(X)", "-(tanh(-(X)))"),
    ("|X|", "id(|-(X)|)"),
    ("arctan(X)", "id(-(-(arctan(id(X)))))"),
    ("|X|", "max(X, -(X))"),
    ("clip(X, Y)", "clip(X, -(Y))"),
    ("(X)*(X)", "(|X|)^(2)"),
    ("(X)+(X)", "(2)*(X)"),
    ("(X)+((X)+(X))", "((X)+(X))+(X)"),
    ("max(X, 0)", "max(X, (1)-(1))"),
]
INPUTS = [*OPERANDS, *(f"{name}(g)" for name in ("tanh", "erf", "expMovAvg", "deltaChange"))]
MOMENTA = ["None", "Mom", "Nest"]


def written(momentum: str, text: str, x: str, y: str) -> Genome:
    placed = text.replace("X", "<x>").replace("Y", "<y>")
    return Genome.parse(f"{momentum} ~ {placed.replace('<x>', x).replace('<y>', y)}")


def halves(genome: Genome) -> set[str]:
    found = fingerprint(genome)
    assert found is not None, str(genome)
    return set(found.split("-"))


@given(
    st.sampled_from(REWRITES),
    st.sampled_from(MOMENTA),
    st.sampled_from(INPUTS),
    st.sampled_from(INPUTS),
)
def test_formulas_of_one_update_share_a_half(
    rule: tuple[str, str], momentum: str, x: str, y: str
) -> None:
    one, other = (written(momentum, text, x, y) for text in rule)
    assert halves(one) & halves(other)
    assert difference(one, other) < 1e-9


def test_content_ids_tell_most_of_these_apart() -> None:
    # Or else the canonical form would do alone.
    pairs = [[written("Mom", text, "v hat", "g").id for text in rule] for rule in REWRITES]
    assert sum(one != other for one, other in pairs) >= 10


@given(genomes())
def test_a_whole_genome_mixed_with_itself_is_the_same_update(genome: Genome) -> None:
    genome = genome.canonical()
    assume(len(genome.hidden) < MAX_HIDDEN)
    assume(fingerprint(genome) is not None)
    twice = Edge(len(genome.hidden)), Edge(len(genome.hidden))
    mixed = dataclasses.replace(
        genome, root=Node("ema_mix", twice), hidden=(*genome.hidden, genome.root)
    )
    assert mixed.id != genome.id
    assert halves(mixed) & halves(genome)


@given(genomes())
def test_the_other_sign_is_another_update(genome: Genome) -> None:
    found = signed_updates(genome)
    assume(found is not None and fingerprint(genome) is not None and bool(found.any()))
    assert halves(genome).isdisjoint(halves(genome.with_sign(-genome.sign)))


def test_operators_are_told_apart() -> None:
    plain = [each for each in UNARY.values() if not each.stochastic]
    texts = [each.symbol.replace("X", "mean(beta*v-g)") for each in plain]
    binary = [each.symbol.replace("Y", "g").replace("X", "v hat") for each in BINARY.values()]
    found = [halves(Genome.parse(f"None ~ {text}")) for text in (*texts, *binary)]
    assert all(one.isdisjoint(other) for one, other in combinations(found, 2))


def test_operands_momenta_and_signs_are_told_apart() -> None:
    found = [
        halves(Genome.parse(f"{momentum} ~ tanh({operand})").with_sign(sign))
        for operand in OPERANDS
        for momentum in MOMENTA
        for sign in (1, -1)
    ]
    assert all(one.isdisjoint(other) for one, other in combinations(found, 2))


def test_decay_functions_are_told_apart() -> None:
    found = [halves(Genome.parse(f"None ~ id([id({name})][v hat])")) for name in PRIMITIVES]
    assert all(one.isdisjoint(other) for one, other in combinations(found, 2))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # A constant factor: the sweep's rates are a fixed grid.
        ("None ~ id(g)", "None ~ (2)*(g)"),
        # They differ where a gradient is 0, where it leaps, and by the small constant.
        ("None ~ max(|g|, 10-6w)", "None ~ |g|"),
        ("None ~ norm(v hat)", "None ~ id(v hat)"),
        ("None ~ clip(v hat, 2)", "None ~ id(v hat)"),
        ("None ~ 1/(1/(g))", "None ~ id(g)"),
        # A small weight decay.
        ("None ~ (g)+(10-6w)", "None ~ id(g)"),
        ("None ~ (g)+(10-6w)", "None ~ (g)+(10-5w)"),
    ],
)
def test_updates_that_differ_a_little_are_told_apart(one: str, other: str) -> None:
    assert halves(Genome.parse(one)).isdisjoint(halves(Genome.parse(other)))


def test_a_genome_that_draws_random_numbers_has_none_and_equals_nothing() -> None:
    genome = Genome.parse("None ~ drop(g, 0.5)")
    assert fingerprint(genome) is None
    assert signed_updates(genome) is None
    assert difference(genome, genome) == math.inf


def test_one_that_overflows_nearly_everywhere_has_none() -> None:
    assert fingerprint(Genome.parse("None ~ exp(exp(exp(exp(2))))")) is None


@given(genomes())
def test_all_moments_at_once_are_what_the_interpreter_computes_one_by_one(genome: Genome) -> None:
    program = compile_genome(genome)
    found = signed_updates(genome)
    assume(found is not None)
    probe = module._probe()
    decays = [each.values(module.TOTAL_STEPS) for each in program.decays]
    state: dict[str, torch.Tensor] = {}
    for step, moment in enumerate(probe.moments):
        expected = program.sign * update_direction(
            program,
            probe.operands["g"][step],
            probe.weights[step],
            state,
            step + 1,
            [curve[moment] for curve in decays],
            (-1,),
            uniform_source(0),
        )
        assert torch.equal(found[step].nan_to_num(), expected.nan_to_num())


def drawn(count: int) -> list[Genome]:
    return [sample_genome(Random(seed), SamplingProbabilities()) for seed in range(count)]


def test_neither_process_nor_threads_nor_order_matter() -> None:
    program = (
        "import json, sys, torch; torch.set_num_threads(2);"
        "from evoptim.fingerprint import fingerprint; from evoptim.genome import Genome;"
        "print(json.dumps([fingerprint(Genome.parse(each)) for each in json.load(sys.stdin)]))"
    )
    texts = [str(each) for each in drawn(60)]
    run = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(texts[::-1]),
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(run.stdout)[::-1] == [fingerprint(Genome.parse(each)) for each in texts]
