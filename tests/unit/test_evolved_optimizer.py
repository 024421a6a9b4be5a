"""``EvolvedOptimizer`` as a citizen of torch, and against the NumPy evaluation of the formulas."""

from __future__ import annotations

import copy
import io
import pickle
import re
from collections.abc import Iterator
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


STEPS, SHAPES = 20, {"w": (4, 3), "b": (3,), "scale": ()}
SCHEDULE = {"total_steps": 25, "lr": 0.01}


def random_cases(count: int) -> Iterator[tuple[Genome, dict[str, Any], dict[str, Any]]]:
    """Deterministic random genomes of both signs, each with its weights and gradients."""
    for seed in range(count):
        genome = sample_genome(Random(seed), SamplingProbabilities())
        rng = np.random.default_rng(seed)
        if deterministic(genome):
            weights = {name: rng.normal(size=shape) for name, shape in SHAPES.items()}
            gradients = {name: rng.normal(size=(STEPS, *s)) for name, s in SHAPES.items()}
            yield genome.with_sign(1 if seed % 2 else -1), weights, gradients


def by_numpy(genome: Genome, weights: Any, gradients: Any, dtype: type) -> dict[str, np.ndarray]:
    return trajectory(
        graph_of(genome), MOMENTUM_NAMES[genome.momentum], genome.sign == -1, warmup=3, hold=4,
        gradients=gradients, weights0=weights, dtype=dtype, **SCHEDULE,
    )  # fmt: skip


def by_torch(genome: Genome, weights: Any, gradients: Any, dtype: type) -> dict[str, np.ndarray]:
    parameters = {
        name: torch.nn.Parameter(torch.from_numpy(np.asarray(weight, dtype=dtype)))
        for name, weight in weights.items()
    }
    optimizer = EvolvedOptimizer(
        parameters.values(), genome, warmup_steps=3, hold_steps=4, **SCHEDULE
    )
    rows: dict[str, list[np.ndarray]] = {name: [] for name in parameters}
    for step in range(STEPS):
        for name, parameter in parameters.items():
            parameter.grad = torch.from_numpy(np.asarray(gradients[name][step], dtype=dtype))
        optimizer.step()
        for name, parameter in parameters.items():
            rows[name].append(parameter.detach().numpy().copy())
    return {name: np.stack(row) for name, row in rows.items()}


def test_two_hundred_random_genomes_agree_with_numpy_in_float64() -> None:
    compared = 0
    for genome, weights, gradients in random_cases(260):
        want = by_numpy(genome, weights, gradients, np.float64)
        got = by_torch(genome, weights, gradients, np.float64)
        for name in SHAPES:
            # Quotients by values near 0 amplify the last bit of float64; 1e-6 is far from
            # any misreading of a formula, which shows at 1e-2 and more.
            assert np.allclose(got[name], want[name], rtol=1e-6, atol=1e-7, equal_nan=True), str(
                genome
            )
        compared += 1
    assert compared > 200


def test_random_genomes_agree_with_numpy_in_float32_as_far_as_float32_goes() -> None:
    for genome, weights, gradients in random_cases(120):
        want = by_numpy(genome, weights, gradients, np.float32)
        exact = by_numpy(genome, weights, gradients, np.float64)
        got = by_torch(genome, weights, gradients, np.float32)
        for name in SHAPES:
            assert got[name].dtype == np.float32
            finite = np.isfinite(want[name])
            scale = np.maximum(1, np.abs(want[name][finite].astype(np.float64)))
            # How far float32 is from float64 tells how well conditioned the genome is.
            sensitivity = np.max(
                np.abs(exact[name][finite] - want[name][finite]) / scale, initial=0
            )
            error = np.max(np.abs(got[name][finite] - want[name][finite]) / scale, initial=0)
            assert error <= max(1e-4, 5 * sensitivity), str(genome)


def make(
    genome: Genome | str = STATEFUL, **changes: Any
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
        state = dict(optimizer.state[weight])
        assert state.pop("step") == 3
        assert set(state) == slots
        assert all(tensor.shape == weight.shape for tensor in state.values())


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
    assert optimizer.state[weights[1]]["step"] == 1
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
        ({"lr": torch.tensor(float("nan"))}, "got tensor(nan)"),
        ({"weight_decay": -0.5}, "weight_decay is a finite number of at least 0, got -0.5"),
        ({"total_steps": None}, "pass total_steps=epochs"),
        ({"differentiable": True}, "differentiable=True is not supported"),
        ({"fused": True, "foreach": True}, "exclude each other"),
    ],
)
def test_arguments_out_of_range_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=re.escape(says)):
        make(**changes)


def test_past_the_horizon_the_last_values_hold_with_one_warning() -> None:
    weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = EvolvedOptimizer([weight], "None ~ id([id(a2)][g])", lr=1.0, total_steps=4)
    weight.grad = torch.ones(1, dtype=torch.float64)
    for _ in range(3):
        optimizer.step()
    moved = []
    for step in range(3):
        before = weight.item()
        if step == 1:
            with pytest.warns(UserWarning, match="total_steps=4 steps and all are taken"):
                optimizer.step()
        else:
            optimizer.step()
        moved.append(before - weight.item())
    # Rate (1 + cos 3π/4)/2 and decay 3/4 at the last step of four, and ever after.
    want = 0.75 * (1 + np.cos(0.75 * np.pi)) / 2
    assert moved == pytest.approx([want] * 3, rel=1e-12)


def test_sparse_gradients_are_refused() -> None:
    embedding = torch.nn.Embedding(4, 2, sparse=True)
    optimizer = EvolvedOptimizer(embedding.parameters(), "None ~ id(g)", lr=0.1, total_steps=2)
    embedding(torch.tensor([1])).sum().backward()
    with pytest.raises(OptimizerError, match="sparse=False"):
        optimizer.step()


def test_the_state_of_another_genome_is_refused() -> None:
    _, optimizer = make()
    _, other = make("None ~ id(g)")
    with pytest.raises(InputError, match=r"is that of genome \w+, this optimizer runs genome \w+"):
        other.load_state_dict(optimizer.state_dict())


def test_the_state_of_another_kind_of_optimizer_is_refused() -> None:
    weights, optimizer = make()
    adam = torch.optim.Adam(weights)
    with pytest.raises(InputError, match="not that of an evoptim optimizer"):
        optimizer.load_state_dict(adam.state_dict())


def test_dropout_masks_depend_on_the_seed_alone() -> None:
    runs = []
    for seed, noise in ((3, 0), (3, 1), (4, 0)):
        torch.manual_seed(noise)
        weights, optimizer = make("None ~ drop(id(g), 0.5)", seed=seed)
        advance(weights, optimizer, range(10))
        runs.append(weights[0].detach())
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_a_group_added_later_joins_the_schedule_where_it_stands() -> None:
    first, late = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
    optimizer = EvolvedOptimizer([first], "None ~ id(g)", lr=1.0, total_steps=6, warmup_steps=2)
    for weight in (first, late):
        weight.grad = torch.ones(1)
    optimizer.step()
    optimizer.step()
    optimizer.add_param_group({"params": [late]})
    optimizer.step()
    # Rates 0, 1/2, 1 for the first; the late one joins at its last.
    assert (first.item(), late.item()) == (-1.5, -1.0)


@pytest.mark.parametrize("changes", [{"lr": -1.0}, {"warmup_steps": 20}, {"total_steps": 0}])
def test_a_group_out_of_range_is_refused_and_leaves_no_trace(changes: dict[str, Any]) -> None:
    _, optimizer = make()
    weight = torch.nn.Parameter(torch.zeros(1))
    with pytest.raises(InputError):
        optimizer.add_param_group({"params": [weight], **changes})
    assert len(optimizer.param_groups) == 1


def test_genome_as_text_and_as_value_are_the_same() -> None:
    runs = []
    for genome in (STATEFUL, Genome.parse(STATEFUL), Genome.parse(STATEFUL).canonical()):
        weights, optimizer = make(genome)
        advance(weights, optimizer, range(20))
        runs.append(weights)
    for others in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], others, strict=True))


def test_loading_leaves_the_optimizer_it_came_from_alone() -> None:
    weights, optimizer = make()
    advance(weights, optimizer, range(5))
    others, fresh = make()
    fresh.load_state_dict(optimizer.state_dict())
    before = copy.deepcopy(optimizer.state_dict())
    advance(others, fresh, range(5, 10))
    after = optimizer.state_dict()
    assert after["param_groups"] == before["param_groups"]
    for index, state in before["state"].items():
        for name, value in state.items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(after["state"][index][name]))


def test_the_sign_is_part_of_what_a_state_belongs_to() -> None:
    genome = Genome.parse("None ~ id(g)")
    _, optimizer = make(genome)
    _, other = make(genome.with_sign(-1))
    with pytest.raises(InputError, match="is that of genome"):
        other.load_state_dict(optimizer.state_dict())


def test_a_rate_changed_from_outside_counts() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = EvolvedOptimizer([weight], "None ~ id(g)", lr=1.0, total_steps=4)
    weight.grad = torch.ones(1)
    optimizer.param_groups[0]["lr"] = 0.25
    optimizer.step()
    assert weight.item() == -0.25


def test_bfloat16_weights_have_float32_state() -> None:
    weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.bfloat16))
    optimizer = EvolvedOptimizer([weight], "None ~ id(s hat)", lr=1.0, total_steps=200)
    for step in range(100):
        weight.grad = torch.full((1,), 1.0 if step == 0 else 0.0, dtype=torch.bfloat16)
        optimizer.step()
    average = optimizer.state[weight]["s"]
    assert (weight.dtype, average.dtype) == (torch.bfloat16, torch.float32)
    # A hundred roundings of float32; in bfloat16 the average would stay at 0.01.
    assert average.item() == pytest.approx(0.01 * 0.99**99, rel=1e-5)
    copied = EvolvedOptimizer([weight], "None ~ id(s hat)", lr=1.0, total_steps=200)
    copied.load_state_dict(through_torch_save(optimizer.state_dict()))
    assert copied.state[weight]["s"].equal(average)
    assert copied.state[weight]["s"].dtype == torch.float32


def test_every_step_tensor_and_node_has_a_mask_of_its_own() -> None:
    weights = [torch.nn.Parameter(torch.zeros(2_000)) for _ in range(2)]
    formula = "None ~ (drop(g, 0.5))*(drop(|g|, 0.5))"
    optimizer = EvolvedOptimizer(weights, formula, lr=1.0, total_steps=1_000)
    kept = []
    for _ in range(2):
        before = [weight.detach().clone() for weight in weights]
        for weight in weights:
            weight.grad = torch.ones(2_000)
        optimizer.step()
        kept += [(old != new).float() for old, new in zip(before, weights, strict=True)]
    for index, mask in enumerate(kept):
        # A quarter survives two masks; one mask for both nodes would keep a half. The standard
        # deviation of these shares is 0.01.
        assert abs(mask.mean().item() - 0.25) < 0.05
        for other in kept[:index]:
            assert abs((mask * other).mean().item() - 0.0625) < 0.03
