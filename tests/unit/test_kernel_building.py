"""How kernels are built and kept, and what happens where that fails."""

from __future__ import annotations

import functools
import multiprocessing
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from kernel_steps import (
    CPU,
    NORM,
    OWN_WARNING,
    SIZES,
    STATEFUL,
    assert_agree,
    compiled,
    interpreted,
    problem,
    rule_of,
)

from evoptim import EvolvedOptimizer, Genome, kernels
from evoptim.cache import CACHE_VARIABLE
from evoptim.kernels import CpuKernel, compiler, fallback, kernel
from evoptim.kernels.inductor import InductorKernel
from evoptim.kernels.source import source

pytestmark = pytest.mark.usefixtures("image_cache")


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


@pytest.mark.slow
@pytest.mark.filterwarnings(OWN_WARNING)
# Said where another test has compiled before this one switches the caches off.
@pytest.mark.filterwarnings("ignore:dynamo_pgo force disabled:UserWarning")
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
