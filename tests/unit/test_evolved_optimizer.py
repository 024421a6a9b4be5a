"""``EvolvedOptimizer`` as a citizen of torch, and against the NumPy evaluation of the formulas."""

from __future__ import annotations

import copy
import io
import pickle
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from genome_graph import MOMENTUM_NAMES, deterministic, graph_of
from numpy_reference import trajectory

from evoptim import EvolvedOptimizer, Genome
from evoptim.config import SamplingProbabilities
from evoptim.errors import InputError
from evoptim.optim import OptimizerError
from evoptim.sampling import sample_genome

STATEFUL = "Nest ~ (expMovAvg([max(a6, a10)][g]))+(drop(deltaChange(MaxValue(s hat)), 0.3))"


def test_two_hundred_random_genomes_agree_with_numpy_in_float64() -> None:
    rng = np.random.default_rng(0)
    steps, shapes = 20, {"w": (4, 3), "b": (3,)}
    compared = 0
    for seed in range(260):
        genome = sample_genome(Random(seed), SamplingProbabilities())
        if not deterministic(genome):
            continue
        sign = 1 if seed % 2 else -1
        weights = {name: rng.normal(size=shape) for name, shape in shapes.items()}
        gradients = {name: rng.normal(size=(steps, *shape)) for name, shape in shapes.items()}
        arguments = {"lr": 0.01, "total_steps": 25}
        want = trajectory(
            graph_of(genome), MOMENTUM_NAMES[genome.momentum], sign == -1, warmup=3, hold=4,
            gradients=gradients, weights0=weights, dtype=np.float64, **arguments,
        )  # fmt: skip
        parameters = {n: torch.nn.Parameter(torch.tensor(w)) for n, w in weights.items()}
        optimizer = EvolvedOptimizer(
            parameters.values(), genome.with_sign(sign), warmup_steps=3, hold_steps=4, **arguments
        )
        for step in range(steps):
            for name, parameter in parameters.items():
                parameter.grad = torch.tensor(gradients[name][step])
            optimizer.step()
            for name, parameter in parameters.items():
                expected = want[name][step]
                # Quotients by values near 0 amplify the last bit of float64; 1e-6 is far from
                # any misreading of a formula, which shows at 1e-2 and more.
                assert np.allclose(
                    parameter.detach().numpy(), expected, rtol=1e-6, atol=1e-7, equal_nan=True
                ), (str(genome), name, step)
        compared += 1
    assert compared > 200


def make(
    genome: str = STATEFUL, **changes: Any
) -> tuple[list[torch.nn.Parameter], EvolvedOptimizer]:
    rng = torch.Generator().manual_seed(1)
    weights = [
        torch.nn.Parameter(torch.randn(shape, generator=rng)) for shape in ((3, 2), (2,), ())
    ]
    arguments = {"lr": 0.1, "total_steps": 20, "warmup_steps": 2, "hold_steps": 3, **changes}
    return weights, EvolvedOptimizer(weights, genome, **arguments)


def advance(weights: list[torch.nn.Parameter], optimizer: EvolvedOptimizer, steps: range) -> None:
    for step in steps:
        rng = torch.Generator().manual_seed(100 + step)
        for weight in weights:
            weight.grad = torch.randn(weight.shape, generator=rng)
        optimizer.step()


def through_torch_save(state: dict[str, Any]) -> dict[str, Any]:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    loaded: dict[str, Any] = torch.load(buffer, weights_only=True)
    return loaded


@pytest.mark.parametrize("passing", [lambda state: state, through_torch_save, copy.deepcopy])
def test_state_dict_continues_bit_exactly(passing: Any) -> None:
    weights, optimizer = make()
    advance(weights, optimizer, range(8))
    others, fresh = make()
    for mine, theirs in zip(others, weights, strict=True):
        mine.data = theirs.data.clone()
    fresh.load_state_dict(passing(optimizer.state_dict()))
    advance(weights, optimizer, range(8, 20))
    advance(others, fresh, range(8, 20))
    assert all(torch.equal(a, b) for a, b in zip(weights, others, strict=True))


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_copies_continue_bit_exactly(clone: Any) -> None:
    weights, optimizer = make()
    advance(weights, optimizer, range(5))
    others, copied = clone((weights, optimizer))
    advance(weights, optimizer, range(5, 20))
    advance(others, copied, range(5, 20))
    assert all(torch.equal(a, b) for a, b in zip(weights, others, strict=True))


@pytest.mark.parametrize(
    "genome",
    [STATEFUL, "None ~ id(tanh(g))", "Mom ~ id(lam hat)", "None ~ id(v hat)"],
)
def test_only_the_state_that_the_genome_needs(genome: str) -> None:
    weights, optimizer = make(genome)
    advance(weights, optimizer, range(3))
    slots = {slot.name for slot in Genome.parse(genome).state_slots()}
    for weight in weights:
        tensors = {k: v for k, v in optimizer.state[weight].items() if isinstance(v, torch.Tensor)}
        assert set(tensors) == slots
        assert all(tensor.shape == weight.shape for tensor in tensors.values())


def test_closure_is_called_with_gradients_and_its_loss_returned() -> None:
    weight = torch.nn.Parameter(torch.tensor([2.0]))
    optimizer = EvolvedOptimizer([weight], "None ~ id(g)", lr=0.5, total_steps=2)

    def closure() -> float:
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    assert optimizer.step(closure) == 4.0
    # w - 0.5 · 2w = 0.
    assert weight.item() == 0.0


def test_groups_have_their_own_rate_and_schedule() -> None:
    a, b = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
    optimizer = EvolvedOptimizer(
        [{"params": [a], "lr": 0.5}], "None ~ id(g)", lr=1.0, total_steps=4
    )
    optimizer.add_param_group({"params": [b], "warmup_steps": 2})
    for weight in (a, b):
        weight.grad = torch.ones(1)
    optimizer.step()
    assert (a.item(), b.item()) == (-0.5, 0.0)


def test_a_weight_without_gradient_stays_and_counts_its_own_gradients() -> None:
    weights, optimizer = make("None ~ id(v hat)", warmup_steps=0)
    before = weights[1].detach().clone()
    weights[0].grad = torch.ones(3, 2)
    optimizer.step()
    assert torch.equal(weights[1], before)
    weights[1].grad = torch.ones(2)
    weights[0].grad = None
    optimizer.step()
    # Its first gradient: the corrected average is the gradient itself, at the rate of step 1.
    assert optimizer.state[weights[1]]["count"] == 1
    assert torch.allclose(before - weights[1], torch.full((2,), 0.1))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"lr": -0.1}, "lr is a finite rate of at least 0, got -0.1"),
        ({"lr": float("nan")}, "got nan"),
        ({"lr": "fast"}, "got 'fast'"),
        ({"total_steps": 0}, "total_steps is a whole number of at least 1, got 0"),
        ({"total_steps": 2.5}, "got 2.5"),
        ({"warmup_steps": -1}, "warmup_steps is a whole number of at least 0, got -1"),
        ({"warmup_steps": 15, "hold_steps": 5}, "must stay below total_steps"),
    ],
)
def test_arguments_out_of_range_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says.replace(".", r"\.")):
        make(**changes)


def test_a_step_beyond_the_schedule_is_refused_and_moves_nothing() -> None:
    weights, optimizer = make(total_steps=8)
    advance(weights, optimizer, range(8))
    before = [weight.detach().clone() for weight in weights]
    with pytest.raises(OptimizerError, match="total_steps=8"):
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(weights, before, strict=True))


def test_sparse_gradients_are_refused() -> None:
    embedding = torch.nn.Embedding(4, 2, sparse=True)
    optimizer = EvolvedOptimizer(embedding.parameters(), "None ~ id(g)", lr=0.1, total_steps=2)
    embedding(torch.tensor([1])).sum().backward()
    with pytest.raises(OptimizerError, match="sparse=False"):
        optimizer.step()


def test_the_state_of_another_genome_is_refused() -> None:
    _, optimizer = make()
    _, other = make("None ~ id(g)")
    with pytest.raises(InputError, match="is that of genome"):
        other.load_state_dict(optimizer.state_dict())


def test_dropout_masks_depend_on_the_seed_alone() -> None:
    runs = []
    for seed, noise in ((3, 0), (3, 1), (4, 0)):
        torch.manual_seed(noise)
        weights, optimizer = make("None ~ drop(id(g), 0.5)", seed=seed)
        advance(weights, optimizer, range(10))
        runs.append(weights[0].detach())
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
