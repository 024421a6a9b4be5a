"""Compiled steps against the interpreter, and how they are built and kept."""

from __future__ import annotations

import functools
import math
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from evoptim import EvolvedOptimizer, Genome, kernels
from evoptim.cache import CACHE_VARIABLE
from evoptim.config import SamplingProbabilities
from evoptim.kernels import CpuKernel, compiler, fallback, kernel, threads
from evoptim.kernels.functions import EXPRESSIONS, NEAR, NEAR_EXPRESSIONS
from evoptim.kernels.inductor import InductorKernel
from evoptim.kernels.source import source
from evoptim.sampling import sample_genome
from evoptim.update import Interpreter, Operation, Options, Rule, genome_formula
from evoptim.update.rule import GRADIENT, WEIGHT

CPU = torch.device("cpu")
SIZES = (0, 1, 7, 63, 64, 65, 20_003)
NORM = "Mom ~ norm((v hat)*(norm(g)))"
DROP = "None ~ (drop(g, 0.3))+(drop(deltaChange(s hat), 0.5))"
STATEFUL = "Nest ~ (expMovAvg(arcsinh(g)))+(MaxValue(exp(g)))"
# Step for step from equal states the two differ by the rounding of functions (ten units in the last
# place at most, see ULPS), of quotients by scalars, and of sums. On numbers of the order of 1 the
# largest difference seen among 300 genomes is 2 units; 32 leaves room for other compilers.
UNITS = 32
EPS = 2.0**-23


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Kernels of this module are kept beside the tests."""
    with pytest.MonkeyPatch.context() as patch:
        directory = tmp_path_factory.mktemp("kernels")
        patch.setenv(CACHE_VARIABLE, str(directory))
        yield directory


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def rule_of(text: str, **options: bool) -> Rule:
    return genome_formula(Genome.parse(text)).rule(Options(**options))


def random_rule(seed: int) -> Rule:
    options = Options(coupled=seed % 3 == 1, decoupled=seed % 3 == 2, maximize=seed % 2 == 1)
    return genome_formula(sample_genome(Random(seed), SamplingProbabilities())).rule(options)


def numbers(rule: Rule) -> list[float]:
    values = {
        "rate": -0.1, "momentum": 0.9, "decay": 0.7, "correction": 0.3, "weight_decay": 0.01,
        "shrink": 0.999,
    }  # fmt: skip
    return [values[each.kind] for each in rule.scalars]


def uniform(node: int, like: Sequence[Tensor]) -> list[Tensor]:
    draw = torch.Generator()
    return [
        torch.rand(each.shape, generator=draw.manual_seed(100 * node + place), dtype=each.dtype)
        for place, each in enumerate(like)
    ]


def problem(
    rule: Rule, shapes: Sequence[Any], dtype: torch.dtype = torch.float32, seed: int = 0
) -> dict[str, list[Tensor]]:
    """Gradients and weights of order 1, and a state such as steps leave behind."""
    draw = torch.Generator().manual_seed(seed)
    wide = torch.float64 if dtype == torch.float64 else torch.float32

    def normal() -> list[Tensor]:
        return [torch.randn(shape, generator=draw, dtype=wide).to(dtype) for shape in shapes]

    return {
        GRADIENT: normal(),
        WEIGHT: normal(),
        **{
            name: [torch.rand(shape, generator=draw, dtype=wide) for shape in shapes]
            for name in rule.state
        },
    }


def copies(tensors: Mapping[str, Sequence[Tensor]]) -> dict[str, list[Tensor]]:
    return {name: [each.clone() for each in row] for name, row in tensors.items()}


def interpreted(rule: Rule, tensors: Mapping[str, list[Tensor]]) -> dict[str, list[Tensor]]:
    """The interpreter's step, with 16-bit tensors widened around it."""
    after = copies(tensors)
    dtype = after[WEIGHT][0].dtype
    if dtype in (torch.bfloat16, torch.float16):
        for name in (GRADIENT, WEIGHT):
            after[name] = [each.float() for each in after[name]]
    Interpreter(rule)(after, numbers(rule), uniform)
    for name in (GRADIENT, WEIGHT):
        after[name] = [each.to(dtype) for each in after[name]]
    return after


def compiled(
    rule: Rule, tensors: Mapping[str, list[Tensor]], built: Callable[..., None] | None = None
) -> dict[str, list[Tensor]]:
    after = copies(tensors)
    (built or kernel(rule, after[WEIGHT][0].dtype, CPU))(after, numbers(rule), uniform)  # type: ignore[misc]
    return after


def assert_agree(mine: Mapping[str, list[Tensor]], theirs: Mapping[str, list[Tensor]]) -> None:
    assert mine.keys() == theirs.keys()
    for name, rows in mine.items():
        for one, other in zip(rows, theirs[name], strict=True):
            assert one.dtype == other.dtype
            # Rounded once more, a difference in the last place may become one of 16 bits.
            half = one.dtype in (torch.bfloat16, torch.float16)
            error = (1 if half else UNITS) * torch.finfo(one.dtype).eps
            torch.testing.assert_close(one, other, rtol=error, atol=error, equal_nan=True)


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


@pytest.mark.parametrize("seed", range(60))
def test_random_genomes_agree_with_the_interpreter(seed: int) -> None:
    rule = random_rule(seed)
    assert_agree_by_condition(rule, problem(rule, SIZES, seed=seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60, 300))
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


# Largest error of each function of float32 against torch's in float64, in units in the last place.
# What is written in functions.py: 1 for exp and log, 2 to 3 for what is made of them, and i1e as
# good as torch's own (10). glibc promises 4 for its vector functions.
ULPS = {
    "exp": 1.5, "log": 1.5, "sigmoid": 4, "tanh": 3, "asinh": 3, "i1e": 10, "atan": 4, "erf": 4.5,
    "erfc": 4.5, "pow": 4, "div_scalar": 1.5,
}  # fmt: skip
# Here torch itself is the measure: its own square root is 1 off, its i1e more.
DOUBLE_ULPS = {"sigmoid": 6, "i1e": 40, "div_scalar": 1.5, "sqrt": 1} | dict.fromkeys(
    ("exp", "log", "tanh", "asinh", "atan", "erf", "erfc", "pow"), 4.5
)
TWO = {"add", "sub", "mul", "div", "maximum", "minimum", "pow", "add_scaled"}


def elementary(name: str) -> Rule:
    """weight <- f(gradient) or f(gradient, weight)."""
    inputs = (0, 1) if name in TWO else (0,)
    scalar = 0.375 if name.endswith(("_scalar", "_scaled")) or name.startswith("clamp") else None
    reads = (Operation("read", source=GRADIENT), Operation("read", source=WEIGHT))
    return Rule((*reads, Operation(name, inputs, scalar)), ((WEIGHT, 2),))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", EXPRESSIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_functions_are_accurate_and_keep_special_values(name: str, dtype: torch.dtype) -> None:
    rule = elementary(name)
    lowest = -44 if dtype == torch.float32 else -320
    sizes = torch.logspace(lowest, 38, 30_011, dtype=torch.float64).to(dtype)
    usual = torch.logspace(-3, 3, 30_011, dtype=torch.float64).to(dtype)
    special = torch.tensor([0.0, torch.inf, torch.nan, 1.0, 88.8, 104.0, 3e38], dtype=dtype)
    x = torch.cat([sizes, usual, special])
    x = torch.cat([x, -x]).repeat(2 if name in TWO else 1)
    draw = torch.Generator().manual_seed(0)
    y = torch.randn(len(x), generator=draw, dtype=dtype)
    y[::50] = special[torch.arange(len(y[::50])) % len(special)]
    if name == "pow":
        x = x.abs()
    given = {GRADIENT: [x], WEIGHT: [y]}
    got = compiled(rule, given)[WEIGHT][0].double()
    exactly = interpreted(rule, {key: [each[0].double()] for key, each in given.items()})
    expected = exactly[WEIGHT][0].to(dtype).double()
    assert torch.equal(got.isnan(), expected.isnan())
    largest, tiny = torch.finfo(dtype).max, torch.finfo(dtype).tiny
    near_overflow = exactly[WEIGHT][0].abs() > 0.999 * largest
    assert torch.equal(got.isinf()[~near_overflow], expected.isinf()[~near_overflow])
    finite = expected.isfinite() & got.isfinite()
    allowed = (ULPS if dtype == torch.float32 else DOUBLE_ULPS).get(name, 0.51)
    # tiny: what underflows may go to 0, as it does in torch's vector functions.
    error = (got - exactly[WEIGHT][0]).abs()[finite] - tiny
    unit = torch.finfo(dtype).eps * expected.abs()[finite]
    assert (error <= allowed * unit).all(), (error / unit).nan_to_num().max()


@pytest.mark.parametrize("name", NEAR_EXPRESSIONS)
def test_short_series_are_as_accurate_for_small_inputs(name: str) -> None:
    x = torch.cat(
        [
            torch.logspace(-40, math.log10(NEAR), 20_000, dtype=torch.float64).float(),
            torch.linspace(-NEAR, NEAR, 20_001),
            torch.tensor([0.0, -0.0]),
        ]
    ).clamp(-NEAR, NEAR)
    rule = elementary(name)
    given = {GRADIENT: [x], WEIGHT: [torch.zeros_like(x)]}
    got = compiled(rule, given)[WEIGHT][0]
    wide = {key: [each[0].double()] for key, each in given.items()}
    expected = interpreted(rule, wide)[WEIGHT][0]
    unit = torch.finfo(torch.float32).eps * expected.abs() + torch.finfo(torch.float32).tiny
    assert ((got.double() - expected).abs() <= 2 * unit).all()
    # One large input sends its strip, and what follows in its block, the long way.
    mixed = torch.cat([x, torch.tensor([3.0]), x])
    given = {GRADIENT: [mixed], WEIGHT: [torch.zeros_like(mixed)]}
    assert torch.allclose(
        compiled(rule, given)[WEIGHT][0][len(x) + 1 :], got, rtol=2e-6, atol=1e-38
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sixteen_bit_numbers_are_read_and_rounded_as_torch_does(dtype: torch.dtype) -> None:
    reads = (Operation("read", source=GRADIENT), Operation("read", source="m"))
    every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    widened = Rule((*reads, Operation("neg", (0,))), (("m", 2),))
    tensors = {GRADIENT: [every], WEIGHT: [every.clone()], "m": [torch.zeros(2**16)]}
    kernel(widened, dtype, CPU)(tensors, [], uniform)  # type: ignore[misc]
    torch.testing.assert_close(tensors["m"][0], -every.float(), rtol=0, atol=0, equal_nan=True)

    narrowed = Rule((*reads, Operation("neg", (1,))), (("m", 1), (WEIGHT, 2)))
    bits = torch.randint(-(2**31), 2**31, (2**19,), generator=torch.Generator().manual_seed(0))
    ties = torch.cat([every.float(), every.float() * (1 + 2.0**-9), every.float() * (1 + 2.0**-12)])
    wide = torch.cat([bits.to(torch.int32).view(torch.float32), ties])
    tensors = {GRADIENT: [torch.zeros(len(wide), dtype=dtype)], "m": [wide]}
    tensors[WEIGHT] = [tensors[GRADIENT][0].clone()]
    kernel(narrowed, dtype, CPU)(tensors, [], uniform)  # type: ignore[misc]
    expected = (-wide).to(dtype)
    torch.testing.assert_close(tensors[WEIGHT][0], expected, rtol=0, atol=0, equal_nan=True)


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


# Building and keeping.


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """A compiler that writes down its calls, and an empty cache."""
    real = compiler.find_compiler()
    assert real is not None
    log = tmp_path / "log"
    wrapper = tmp_path / "compiler"
    wrapper.write_text(f'#!/bin/sh\necho called >> {log}\nexec {" ".join(real)} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("CXX", str(wrapper))
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return lambda: len(log.read_text().splitlines()) if log.exists() else 0


def cached(root: Path) -> list[Path]:
    return sorted((root / "cache" / f"kernels-{os.geteuid()}").iterdir())


def test_what_is_kept_needs_no_compiler(tmp_path: Path, counted: Callable[[], int]) -> None:
    text = source(rule_of(STATEFUL), torch.float32)
    for _ in range(2):
        assert compiler.load(text).step
        assert counted() == 1
    compiler.load(text + "\n")
    assert counted() == 2
    assert [file.suffix for file in cached(tmp_path)] == [".so", ".so"]


@pytest.mark.parametrize("length", [0, 20, 4_000, -1])
def test_a_broken_file_in_the_cache_is_built_anew(
    tmp_path: Path, counted: Callable[[], int], length: int
) -> None:
    text = source(rule_of(STATEFUL), torch.float32) + f"// {length}\n"
    compiler.load(text)
    (file,) = cached(tmp_path)
    whole = file.read_bytes()
    file.unlink()
    file.write_bytes(whole[:length])
    assert compiler.load(text).step
    assert counted() == 2
    assert len(cached(tmp_path)[0].read_bytes()) == len(whole)


def test_the_cache_is_private(tmp_path: Path, counted: Callable[[], int]) -> None:
    compiler.load(source(rule_of(NORM), torch.float32))
    assert cached(tmp_path)[0].parent.stat().st_mode & 0o777 == 0o700
    assert cached(tmp_path)[0].stat().st_mode & 0o077 == 0


def test_a_cache_that_others_can_write_to_is_not_used(
    tmp_path: Path, counted: Callable[[], int]
) -> None:
    text = source(rule_of(NORM), torch.float32) + "// writable\n"
    compiler.load(text)
    directory = cached(tmp_path)[0].parent
    directory.chmod(0o770)
    assert compiler.kernel_directory() is None
    assert compiler.load(text).step
    assert counted() == 2
    if os.geteuid() == 0:
        directory.chmod(0o700)
        os.chown(directory, 12_345, -1)
        assert compiler.kernel_directory() is None
        os.chown(directory, 0, -1)
    shutil.rmtree(directory)
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    directory.symlink_to(tmp_path / "elsewhere")
    assert compiler.kernel_directory() is None


def test_kernels_are_built_where_nothing_can_be_kept(
    tmp_path: Path, counted: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file"))
    rule = rule_of(NORM)
    tensors = problem(rule, SIZES)
    built = CpuKernel(rule, torch.float32)
    assert_agree(compiled(rule, tensors, built), interpreted(rule, tensors))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_processes_that_build_the_same_at_once_do_not_meet(
    tmp_path: Path, counted: Callable[[], int]
) -> None:
    text = source(rule_of(STATEFUL), torch.float32) + "// race\n"
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=functools.partial(compiler.load, text)) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0, 0, 0]
    before = counted()
    assert compiler.load(text).step
    assert counted() == before
    assert [file.suffix for file in cached(tmp_path)] == [".so"]


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has built nothing yet."""
    monkeypatch.setattr(kernels, "_kernels", {})
    monkeypatch.setattr(fallback, "_said", False)


def test_without_a_compiler_one_warning_and_the_interpreter(
    fresh: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.warns(UserWarning, match=r"no C\+\+ compiler .*Install a C\+\+ compiler") as said:
        built = [kernel(rule_of(text), torch.float32, CPU) for text in (NORM, STATEFUL)]
    assert built == [None, None]
    assert len(said) == 1
    weight = torch.nn.Parameter(torch.ones(3))
    weight.grad = torch.ones(3)
    EvolvedOptimizer([weight], Genome.parse("None ~ id(g)"), lr=0.5, fused=True).step()
    assert weight.tolist() == [0.5, 0.5, 0.5]


def test_a_compiler_that_fails_gives_the_warning_with_what_it_said(
    fresh: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho out of luck >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    with pytest.warns(UserWarning, match="broken failed: out of luck"):
        assert kernel(rule_of(NORM), torch.float32, CPU) is None


def test_without_vector_functions_scalar_ones_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on systems whose C library has none: the linker does not find them."""
    real = compiler.find_compiler()
    assert real is not None
    wrapper = tmp_path / "compiler"
    wrapper.write_text(
        f'#!/bin/sh\ncase "$*" in *-lmvec*) exit 1;; esac\nexec {" ".join(real)} "$@"\n'
    )
    wrapper.chmod(0o755)
    monkeypatch.setenv("CXX", str(wrapper))
    rule = rule_of("None ~ erf((|g|)^(arctan(v hat)))")
    tensors = problem(rule, SIZES)
    built = CpuKernel(rule, torch.float32)
    assert_agree(compiled(rule, tensors, built), interpreted(rule, tensors))


# Inductor, on a CPU: the path that accelerators take.


# What Inductor imports warns of itself.
OWN_WARNING = "ignore:.torch.jit.script_method. is deprecated:DeprecationWarning"


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


@pytest.mark.slow
@pytest.mark.filterwarnings(OWN_WARNING)
def test_where_inductor_fails_the_interpreter_runs_after_a_warning(
    fresh: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = rule_of(NORM)
    tensors = problem(rule, (4_001,))
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CXX", "no-such-compiler")
    built = InductorKernel(rule, torch.float32)
    with (
        pytest.warns(UserWarning, match="torch.compile failed"),
        torch._inductor.config.patch(
            {"cpp.cxx": (None, "no-such-compiler"), "force_disable_caches": True}
        ),
    ):
        assert_agree(compiled(rule, tensors, built), interpreted(rule, tensors))
