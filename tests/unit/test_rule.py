"""Tracing: the rule computes what the formula does, and nothing it does not need."""

from __future__ import annotations

from random import Random

import pytest
import torch
from torch import Tensor

from evoptim import EvolvedOptimizer, zoo
from evoptim.config import SamplingProbabilities
from evoptim.genome import Genome
from evoptim.sampling import sample_genome
from evoptim.update import (
    Formula,
    Interpreter,
    Options,
    Tensors,
    compile_genome,
    genome_formula,
    move,
    update_direction,
)
from evoptim.update.rule import GRADIENT, WEIGHT

SHAPES = ((4, 3), (5,), ())
RATE, COEFFICIENT, WEIGHT_DECAY = 0.1, 0.9, 0.03
PLAIN, EVERYTHING = Options(), Options(coupled=True, maximize=True)


def uniform(node: int, like: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(100 * node + like.numel())
    return torch.rand(like.shape, generator=generator, dtype=like.dtype)


def by_rule(genome: Genome, options: Options, weights: list[Tensor], steps: int) -> list[Tensor]:
    found = genome_formula(genome)
    rule = found.rule(options)
    interpreter = Interpreter(rule)
    weights = [weight.clone() for weight in weights]
    state = {name: [torch.zeros_like(weight) for weight in weights] for name in rule.state}
    tables = [curve.values(steps) for curve in found.curves]
    for step in range(steps):
        numbers = {
            "rate": -found.sign * RATE,
            "momentum": COEFFICIENT,
            "weight_decay": WEIGHT_DECAY,
            "shrink": 1 - RATE * WEIGHT_DECAY,
        }
        scalars = [
            tables[int(each.parameter)][step]
            if each.kind == "decay"
            else 1 - each.parameter ** (step + 1)
            if each.kind == "correction"
            else numbers[each.kind]
            for each in rule.scalars
        ]
        tensors = {GRADIENT: gradients(weights, step), WEIGHT: weights, **state}
        before = [each.clone() for each in tensors[GRADIENT]]
        interpreter(tensors, scalars, lambda n, like: [uniform(n, each) for each in like])
        assert all(torch.equal(a, b) for a, b in zip(before, tensors[GRADIENT], strict=True))
    return weights


def by_tensors(genome: Genome, options: Options, weights: list[Tensor], steps: int) -> list[Tensor]:
    """The readable interpreter on one tensor after the other."""
    program = compile_genome(genome)
    factors = program.decay_values(steps)
    moved = []
    for index, start in enumerate(weights):
        weight, state = start.clone(), dict[str, Tensor]()
        for step in range(steps):
            gradient = gradients(weights, step)[index]
            if options.maximize:
                gradient = -gradient
            if options.coupled:
                gradient = gradient.add(weight, alpha=WEIGHT_DECAY)
            update = update_direction(
                program, gradient, weight, state, step + 1, factors[step],
                tuple(range(weight.ndim)), uniform,
            )  # fmt: skip
            if options.decoupled:
                weight.mul_(1 - RATE * WEIGHT_DECAY)
            move(program.momentum, weight, update, -program.sign * RATE, COEFFICIENT, state)
        moved.append(weight)
    return moved


def gradients(like: list[Tensor], step: int) -> list[Tensor]:
    rng = torch.Generator().manual_seed(step)
    return [torch.randn(each.shape, generator=rng, dtype=each.dtype) for each in like]


@pytest.mark.parametrize("options", [PLAIN, EVERYTHING, Options(decoupled=True)])
def test_rules_of_random_genomes_compute_what_the_readable_interpreter_does(
    options: Options,
) -> None:
    rng = torch.Generator().manual_seed(0)
    weights = [torch.randn(shape, generator=rng, dtype=torch.float64) for shape in SHAPES]
    for seed in range(150):
        genome = sample_genome(Random(seed), SamplingProbabilities())
        got, want = (run(genome, options, weights, 6) for run in (by_rule, by_tensors))
        for one, other in zip(got, want, strict=True):
            # Two orders of float64 rounding (arcsinh, norms, cubes); quotients by values near 0
            # amplify them.
            torch.testing.assert_close(
                one, other, rtol=1e-8, atol=1e-9, equal_nan=True, msg=str(genome)
            )


def test_a_rule_holds_no_operation_that_nothing_uses() -> None:
    for seed in range(100):
        genome = sample_genome(Random(seed), SamplingProbabilities())
        rule = genome_formula(genome).rule(EVERYTHING)
        used = {number for _, number in rule.stores}
        used.update(each for operation in rule.operations for each in operation.inputs)
        assert used == set(range(len(rule.operations)))
        assert len(set(rule.operations)) == len(rule.operations)
        assert set(rule.state) == {slot.name for slot in genome.state_slots()}


def test_the_interpreter_makes_no_temporary_that_it_could_do_without() -> None:
    # v and w change in place; q needs one list, the mixed average another.
    rule = genome_formula(Genome.parse("None ~ id(((1-0.7)*g+0.7*v hat))")).rule(PLAIN)
    steps = Interpreter(rule)._steps
    assert [step.name for step in steps if step.name != "read" and not step.in_place] == [
        "mul_scalar",
        "div_scalar",
    ]


def test_equal_optimizers_share_their_rule() -> None:
    weight = torch.nn.Parameter(torch.ones(2))

    def formulas() -> list[Formula]:
        genome = "Nest ~ id([id(a1)][v hat])"
        made = [
            EvolvedOptimizer([weight], genome, lr=1.0, total_steps=7),
            *(
                zoo.create(name, [weight], lr=1.0, total_steps=7, decay=decay)
                for name in zoo.names()
                for decay in (False, True)
            ),
        ]
        return [optimizer.formula for optimizer in made]

    for first, second in zip(formulas(), formulas(), strict=True):
        assert first.rule(PLAIN) is second.rule(PLAIN)


def test_a_function_that_no_backend_knows_is_refused_by_name() -> None:
    def direction(tensors: Tensors) -> Tensor:
        return torch.cumsum(tensors.gradient, 0)

    with pytest.raises(TypeError, match="cumsum"):
        Formula("wrong", direction).rule(PLAIN)
