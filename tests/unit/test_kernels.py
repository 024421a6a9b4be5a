"""Compiled steps against the interpreter."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from random import Random

import numpy as np
import pytest
import torch
from kernel_steps import (
    CPU,
    DROP,
    EPS,
    NORM,
    OWN_WARNING,
    SIZES,
    STATEFUL,
    UNITS,
    assert_agree,
    compiled,
    copies,
    interpreted,
    numbers,
    problem,
    rule_of,
    uniform,
)
from torch import Tensor

from evoptim import EvolvedOptimizer, Genome
from evoptim.config import SamplingProbabilities
from evoptim.kernels import kernel, threads
from evoptim.kernels.inductor import InductorKernel
from evoptim.sampling import sample_genome
from evoptim.update import Interpreter, Operation, Options, Rule, genome_formula
from evoptim.update.rule import GRADIENT, WEIGHT

pytestmark = pytest.mark.usefixtures("image_cache")


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def random_rule(seed: int) -> Rule:
    options = Options(coupled=seed % 3 == 1, decoupled=seed % 3 == 2, maximize=seed % 2 == 1)
    return genome_formula(sample_genome(Random(seed), SamplingProbabilities())).rule(options)


def assert_agree_by_condition(rule: Rule, tensors: Mapping[str, list[Tensor]]) -> None:
    """As :func:`assert_agree`, where single elements may be as ill-conditioned as 1 / (a - b) is.

    They may differ by eight times what rounding the inputs to one place less makes of them.
    """
    mine, theirs = compiled(rule, tensors), interpreted(rule, tensors)
    draw = torch.Generator().manual_seed(0)
    spread = {name: [torch.zeros_like(each) for each in row] for name, row in theirs.items()}
    for _ in range(6):
        near = {
            name: [
                each * (1 + EPS * (2 * torch.randint(0, 2, each.shape, generator=draw) - 1))
                for each in row
            ]
            for name, row in tensors.items()
        }
        for name, row in interpreted(rule, near).items():
            for each, other, most in zip(row, theirs[name], spread[name], strict=True):
                torch.maximum(most, (each - other).abs().nan_to_num(), out=most)
    for name, row in mine.items():
        for one, other, most in zip(row, theirs[name], spread[name], strict=True):
            assert torch.equal(one.isnan(), other.isnan())
            assert torch.equal(one.isinf(), other.isinf())
            error = (one - other).abs().nan_to_num()
            assert (error <= UNITS * EPS * (1 + other.abs().nan_to_num()) + 8 * most).all()
            # Most elements are not: one in a thousand.
            assert (most > 100 * UNITS * EPS * (1 + other.abs())).sum() <= 1 + len(one) / 1_000


@pytest.mark.parametrize("seed", range(25))
def test_random_genomes_agree_with_the_interpreter(seed: int) -> None:
    rule = random_rule(seed)
    assert_agree_by_condition(rule, problem(rule, SIZES, seed=seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(25, 300))
def test_more_random_genomes_agree_with_the_interpreter(seed: int) -> None:
    rule = random_rule(seed)
    assert_agree_by_condition(rule, problem(rule, SIZES, seed=seed))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("text", [NORM, DROP, STATEFUL, "None ~ bessel_i1e(tanh(v hat))"])
def test_every_dtype_agrees(dtype: torch.dtype, text: str) -> None:
    rule = rule_of(text, coupled=True)
    tensors = problem(rule, (*SIZES, (3, 50, 41)), dtype)
    assert_agree(compiled(rule, tensors), interpreted(rule, tensors))


def test_steps_in_a_row_agree_from_each_state() -> None:
    rule = rule_of(STATEFUL, decoupled=True)
    tensors = problem(rule, (100_003,))
    for seed in range(5):
        expected = interpreted(rule, tensors)
        tensors = compiled(rule, tensors)
        assert_agree(tensors, expected)
        tensors[GRADIENT] = problem(rule, (100_003,), seed=seed)[GRADIENT]


def test_infinities_and_nan_pass_through_as_in_the_interpreter() -> None:
    rule = rule_of("Mom ~ (clip(v hat, sqrt(|s hat|)))+(max(g, min(sign(g), 10-3w)))")
    special = [0.0, -0.0, torch.inf, -torch.inf, torch.nan, 1e-40, -1e-40, 3e38, 1.0]
    pairs = torch.cartesian_prod(torch.tensor(special), torch.tensor(special))
    tensors = problem(rule, ((81,),))
    tensors[GRADIENT], tensors[WEIGHT] = [pairs[:, 0].clone()], [pairs[:, 1].clone()]
    assert_agree(compiled(rule, tensors), interpreted(rule, tensors))


def laid_out(layout: str, each: Tensor) -> Tensor:
    if layout == "last":
        return each.contiguous(memory_format=torch.channels_last)
    if layout == "transposed":
        return each.transpose(0, 1).contiguous().transpose(0, 1)
    wide = each.new_zeros((*each.shape[:-1], 2 * each.shape[-1]))
    return wide[..., ::2].copy_(each)


@pytest.mark.parametrize("text", [NORM, DROP, STATEFUL])
@pytest.mark.parametrize("gradients", ["last", "transposed", "strided", "contiguous"])
@pytest.mark.parametrize("weights", ["last", "transposed", "strided"])
def test_any_memory_layout_gives_the_same(text: str, weights: str, gradients: str) -> None:
    rule = rule_of(text)
    tensors = problem(rule, ((5, 6, 7, 8), (5, 6, 1, 1)))
    expected = interpreted(rule, tensors)
    for name, row in tensors.items():
        layout = gradients if name == GRADIENT else weights
        if layout != "contiguous":
            tensors[name] = [laid_out(layout, each) for each in row]
    strides = [each.stride() for each in tensors[WEIGHT]]
    kernel(rule, torch.float32, CPU)(tensors, numbers(rule), uniform)  # type: ignore[misc]
    assert_agree(tensors, expected)
    assert [each.stride() for each in tensors[WEIGHT]] == strides


def test_gradients_stay_as_they_are() -> None:
    rule = rule_of(NORM, coupled=True, maximize=True)
    tensors = problem(rule, (70_000, 3))
    after = compiled(rule, tensors)
    assert all(map(torch.equal, after[GRADIENT], tensors[GRADIENT]))


@pytest.mark.parametrize("text", [NORM, DROP, STATEFUL])
def test_the_number_of_threads_changes_no_bit(text: str, two_threads: None) -> None:
    rule = rule_of(text)
    tensors = problem(rule, (100_003, *SIZES, 300_000, 17))
    both = compiled(rule, tensors)
    torch.set_num_threads(1)
    one = compiled(rule, tensors)
    assert all(
        torch.equal(a, b) for name in one for a, b in zip(one[name], both[name], strict=True)
    )


def test_many_small_tensors_at_once() -> None:
    rule = rule_of(NORM)
    tensors = problem(rule, [(size % 5, size % 7) for size in range(2_000)])
    assert_agree(compiled(rule, tensors), interpreted(rule, tensors))


def in_child(work: Callable[[], bool]) -> bool:
    """What ``work`` returns in a forked process."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=lambda: sender.send(work()))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    return bool(receiver.recv())


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own(two_threads: None) -> None:
    rule = rule_of(NORM)
    tensors = problem(rule, (200_000,))
    expected = compiled(rule, tensors)[WEIGHT][0].numpy()
    assert threads._pool is not None
    built = kernel(rule, torch.float32, CPU)
    assert built is not None

    # Without torch's own threads, which do not survive a fork.
    def again() -> bool:
        built(tensors, numbers(rule), uniform)
        return threads._pool is not None and np.array_equal(tensors[WEIGHT][0].numpy(), expected)

    assert in_child(again)


def test_autograd_hears_of_the_change() -> None:
    weight = torch.ones(3, requires_grad=True)
    weight.grad = torch.ones(3)
    loss = weight.square().sum()
    EvolvedOptimizer([weight], Genome.parse("None ~ id(g)"), lr=0.1, fused=True).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64])
@pytest.mark.parametrize("text", [DROP, STATEFUL])
def test_fused_optimizers_train_as_others_do(dtype: torch.dtype, text: str) -> None:
    def train(fused: bool) -> list[Tensor]:
        torch.manual_seed(0)
        weights = [
            torch.nn.Parameter(torch.randn(shape, dtype=dtype)) for shape in ((40, 30), (5,))
        ]
        optimizer = EvolvedOptimizer(
            weights, Genome.parse(text), lr=1e-2, weight_decay=0.1, fused=fused
        )
        for _ in range(4):
            for weight in weights:
                weight.grad = torch.randn_like(weight)
            optimizer.step()
        return [weight.detach() for weight in weights]

    # Four steps, each with the difference that one step may make.
    error = 4 * (2.0**-8 if dtype == torch.bfloat16 else UNITS * 2.0**-23)
    for one, other in zip(train(True), train(False), strict=True):
        torch.testing.assert_close(one, other, rtol=error, atol=error)


def test_a_kernel_is_built_once_for_each_rule_and_type() -> None:
    rule = rule_of(NORM)
    assert kernel(rule, torch.float32, CPU) is kernel(rule_of(NORM), torch.float32, CPU)
    assert kernel(rule, torch.float32, CPU) is not kernel(rule, torch.float64, CPU)


def test_what_no_kernel_can_do_is_left_to_the_interpreter() -> None:
    rule = rule_of(NORM)
    assert kernel(rule, torch.float8_e5m2, CPU) is None
    reads = (Operation("read", source=GRADIENT), Operation("read", source=WEIGHT))
    number = (Operation("sum", (0,)), Operation("drop", (2,), 0.5, "0"), Operation("mul", (1, 3)))
    assert kernel(Rule((*reads, *number), ((WEIGHT, 4),)), torch.float32, CPU) is None


@pytest.mark.slow
@pytest.mark.filterwarnings(OWN_WARNING)
@pytest.mark.parametrize("text", [NORM, DROP, STATEFUL])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_inductor_agrees_and_compiles_once(text: str, dtype: torch.dtype) -> None:
    rule = rule_of(text)
    tensors = problem(rule, (1, 7, (30, 20)), dtype)
    built = InductorKernel(rule, dtype)
    assert_agree(compiled(rule, tensors, built), interpreted(rule, tensors))
    other = [0.5 * number for number in numbers(rule)]
    with torch._dynamo.config.patch(error_on_recompile=True):
        mine, theirs = copies(tensors), copies(tensors)
        built(mine, other, uniform)
    if dtype == torch.float32:
        Interpreter(rule)(theirs, other, uniform)
        assert_agree(mine, theirs)
