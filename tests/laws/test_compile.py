"""``torch.compile`` of a step: one graph, compiled once, of the same result."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from problem import advance, assert_same, give_gradients, weights
from subjects import CONTROL, RANDOM, RATE, ZOO, Subject, holds_for, some
from torch import Tensor
from torch._dynamo.testing import CompileCounter
from torch.nn import Parameter

pytestmark = pytest.mark.filterwarnings(
    # torch.compile imports parts of torch that torch has deprecated.
    "ignore:`torch.jit:DeprecationWarning"
)

STEPS_TAKEN = 6
"""So few that genomes which diverge have not amplified roundings yet."""
EXACT_ENOUGH = {"rtol": 1e-4, "atol": 1e-6}
"""Compiled steps count in float32 tensors, plain ones in Python's numbers; genomes that divide by
what is near 0 amplify that a hundred times."""


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def steps_compiled_once(subject: Subject, backend: Any, **changes: Any) -> list[Parameter]:
    """Six steps, at a rate that changes after each; none but the first two may compile."""
    torch._dynamo.reset()
    lr = torch.tensor(RATE)
    mine = weights(torch.float64)
    optimizer = subject.build(mine, lr=lr, **changes)
    step = torch.compile(optimizer.step, backend=backend)
    for number in range(STEPS_TAKEN):
        give_gradients(mine, number)
        with torch.compiler.set_stance("default" if number < 2 else "fail_on_recompile"):
            step()
        lr.mul_(0.9)
    return mine


def steps_by_hand(subject: Subject, **changes: Any) -> list[Parameter]:
    """The same without a compiler."""
    mine = weights(torch.float64)
    optimizer = subject.build(mine, foreach=False, **changes)
    for number in range(STEPS_TAKEN):
        for group in optimizer.param_groups:
            group["lr"] = RATE * 0.9**number
        advance(mine, optimizer, range(number, number + 1))
    return mine


def compiles(subject: Subject) -> None:
    changes = {"total_steps": 12, "warmup_steps": 2, "weight_decay": 0.1} if subject.ours else {}
    counter = CompileCounter()
    got = steps_compiled_once(subject, counter, **changes)
    assert counter.frame_count == 1
    if not subject.stochastic:
        # Masks are those of torch's own generator here.
        assert_same(got, steps_by_hand(subject, **changes), **EXACT_ENOUGH)


@holds_for((CONTROL, *ZOO[::5], *RANDOM[::12]))
def test_a_step_is_compiled_once_whatever_the_rate(subject: Subject) -> None:
    compiles(subject)


@pytest.mark.slow
@holds_for()
def test_a_step_of_every_optimizer_is_compiled_once(subject: Subject) -> None:
    compiles(subject)


@holds_for((CONTROL, ZOO[0], ZOO[-1], RANDOM[0]))
def test_autograds_compiler_takes_it_too(subject: Subject) -> None:
    """``aot_eager``: functionalised, so that writing in place is tested as well."""
    got = steps_compiled_once(subject, "aot_eager")
    assert_same(got, steps_by_hand(subject), **EXACT_ENOUGH)


@holds_for(some("opt4-decay", "opt9-decay", "lion"))
def test_compiled_steps_hold_the_last_value_past_the_horizon(subject: Subject) -> None:
    got = steps_compiled_once(subject, "eager", total_steps=3)
    with pytest.warns(UserWarning, match="total_steps=3"):
        want = steps_by_hand(subject, total_steps=3)
    assert_same(got, want, **EXACT_ENOUGH)


@holds_for((CONTROL, ZOO[0], ZOO[-1]))
def test_a_state_of_plain_steps_goes_on_compiled(subject: Subject) -> None:
    mine, reference = weights(torch.float64), weights(torch.float64)
    optimizer, other = subject.build(mine), subject.build(reference)
    advance(mine, optimizer, range(3))
    advance(reference, other, range(6))
    step = torch.compile(optimizer.step, backend="eager")
    for number in range(3, 6):
        give_gradients(mine, number)
        step()
    assert_same(mine, reference, **EXACT_ENOUGH)
    assert all(isinstance(value, Tensor) for value in optimizer.state[mine[0]].values())
