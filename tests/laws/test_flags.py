"""What the constructor's flags mean, and that ways of computing agree."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
import torch
from problem import (
    advance,
    assert_same,
    assert_same_state,
    clones,
    give_gradients,
    normal,
    weights,
)
from subjects import OURS, RATE, STEPS, ZOO, Subject, holds_for, some
from torch import Tensor
from torch.nn import Parameter

from evoptim.errors import InputError

DOUBLE = {"rtol": 1e-9, "atol": 1e-12}
"""Two orders of summation in float64: a wrong formula is off by 1e-3 and more."""
SINGLE = {"rtol": 1e-5, "atol": 1e-7}
"""Counters and rates in float32, whatever the weights are, and quotients that amplify them."""
KERNEL = {"rtol": 1e-4, "atol": 1e-5}
"""Another library's transcendental functions and fused multiply-adds, over seven steps."""


@holds_for()
def test_lists_and_single_tensors_agree(subject: Subject) -> None:
    """``foreach=True`` and ``None`` are ``foreach=False``, done faster; bit for bit."""
    for each in subject.configurations():
        runs = []
        for foreach in (False, True, None):
            mine = weights()
            # With counters on the device, dropout draws from torch's own generator.
            torch.manual_seed(0)
            optimizer = subject.build(mine, **{**each.kwargs, "foreach": foreach})
            for step in range(7):
                give_gradients(mine, step)
                if step == 3:
                    # Some step finds no gradient anywhere, the next none in one place.
                    optimizer.zero_grad()
                if step == 4:
                    mine[1].grad = None
                optimizer.step()
            runs.append((mine, optimizer.state_dict()["state"]))
        for mine, state in runs[1:]:
            assert_same(mine, runs[0][0])
            assert_same_state(state, runs[0][1])


@holds_for()
def test_maximizing_is_minimizing_the_negative(subject: Subject) -> None:
    for decay in (0.0, 0.1):
        up, down = weights(), weights()
        climber = subject.build(up, maximize=True, weight_decay=decay)
        faller = subject.build(down, weight_decay=decay)
        for step in range(6):
            give_gradients(up, step)
            give_gradients(down, step, sign=-1.0)
            climber.step()
            faller.step()
        assert_same(up, down)


@holds_for()
def test_a_rate_in_a_tensor_is_the_rate(subject: Subject) -> None:
    for lr in (torch.tensor(RATE, dtype=torch.float64), torch.tensor([RATE], dtype=torch.float64)):
        plain, tensor = weights(torch.float64), weights(torch.float64)
        one = subject.build(plain)
        other = subject.build(tensor, lr=lr, foreach=False)
        advance(plain, one, range(4))
        advance(tensor, other, range(4))
        # A scheduler changes it where it is.
        lr.mul_(0.5)
        for group in one.param_groups:
            group["lr"] *= 0.5
        advance(plain, one, range(4, 7))
        advance(tensor, other, range(4, 7))
        assert_same(plain, tensor, **DOUBLE)
        assert lr.item() == RATE / 2


@holds_for(OURS)
def test_a_rate_that_is_changed_outside_counts_from_the_next_step(subject: Subject) -> None:
    mine = weights()
    optimizer = subject.build(mine)
    advance(mine, optimizer, range(2))
    before = clones(mine)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    for name in optimizer.state[mine[0]]:
        if name == "momentum":
            # What has been gathered moves on without any rate.
            for weight in mine:
                optimizer.state[weight][name].zero_()
    advance(mine, optimizer, range(2, 3))
    # Where the update is infinite, 0 times it is not 0.
    assert_same(mine, [torch.where(a.isnan(), a, b) for a, b in zip(mine, before, strict=True)])


@holds_for(OURS)
def test_counters_on_the_device_change_nothing(subject: Subject) -> None:
    """``capturable=True`` computes with tensors what otherwise are numbers."""
    if subject.stochastic:
        return
    for changes in ({}, {"total_steps": 12, "warmup_steps": 2, "weight_decay": 0.1}):
        plain, captured = weights(torch.float64), weights(torch.float64)
        one = subject.build(plain, **changes)
        other = subject.build(captured, capturable=True, **changes)
        advance(plain, one, range(6))
        advance(captured, other, range(6))
        assert_same(plain, captured, **SINGLE)
        assert_same_state(one.state_dict()["state"], other.state_dict()["state"], **SINGLE)


@holds_for(OURS)
def test_coupled_weight_decay_is_a_gradient(subject: Subject) -> None:
    decayed, by_hand = weights(torch.float64), weights(torch.float64)
    one = subject.build(decayed, weight_decay=0.1)
    other = subject.build(by_hand)
    for step in range(5):
        give_gradients(decayed, step)
        give_gradients(by_hand, step)
        for weight in by_hand:
            assert weight.grad is not None
            weight.grad.add_(weight.detach(), alpha=0.1)
        one.step()
        other.step()
    assert_same(decayed, by_hand, **DOUBLE)


@holds_for(OURS)
def test_decoupled_weight_decay_shrinks_by_the_rate(subject: Subject) -> None:
    """w <- w - rate * coefficient * w beside the movement; the gradient stays as it is."""
    decayed, by_hand = weights(torch.float64), weights(torch.float64)
    plain_rate = {"base_schedule": False} if subject.horizon else {}
    one = subject.build(decayed, weight_decay=0.1, decoupled_weight_decay=True, **plain_rate)
    other = subject.build(by_hand, **plain_rate)
    curve = subject.rate_curve.values(STEPS) if subject.rate_curve else (1.0,) * STEPS
    for step in range(4):
        give_gradients(decayed, step)
        give_gradients(by_hand, step)
        before = clones(by_hand)
        one.step()
        other.step()
        for weight, old in zip(by_hand, before, strict=True):
            weight.data.sub_(old.detach(), alpha=RATE * curve[step] * 0.1)
    assert_same(decayed, by_hand, **DOUBLE)


def agrees_with_its_kernel(subject: Subject, **changes: object) -> None:
    plain, kernel = weights(), weights()
    one, other = subject.build(plain, **changes), subject.build(kernel, fused=True, **changes)
    for step in range(7):
        for mine, optimizer in ((plain, one), (kernel, other)):
            give_gradients(mine, step)
            if step == 3:
                optimizer.zero_grad()
            if step == 4:
                mine[1].grad = None
            optimizer.step()
        assert_same(kernel, plain, **KERNEL)
    assert_same_state(other.state_dict()["state"], one.state_dict()["state"], **KERNEL)


needs_compiler = pytest.mark.skipif(not shutil.which("g++"), reason="there is no C++ compiler")


@needs_compiler
@holds_for(some("AdamW", "adamclip4", "lion", "opt6-decay", "genome01"))
def test_a_kernel_agrees(subject: Subject) -> None:
    agrees_with_its_kernel(subject)


@needs_compiler
@pytest.mark.slow
@holds_for()
def test_every_kernel_agrees(subject: Subject) -> None:
    for changes in ({}, {"weight_decay": 0.1, "maximize": True}):
        agrees_with_its_kernel(subject, **changes)


@needs_compiler
@holds_for(some("lion", "genome00"))
def test_a_run_may_go_on_in_a_kernel(subject: Subject) -> None:
    """State of either way of computing is state of the other."""
    mine, reference = weights(), weights()
    optimizer, other = subject.build(mine), subject.build(reference)
    advance(mine, optimizer, range(3))
    advance(reference, other, range(5))
    fresh = subject.build(mine, fused=True)
    fresh.load_state_dict(optimizer.state_dict())
    for group in fresh.param_groups:
        group["fused"] = True
    advance(mine, fresh, range(3, 5))
    assert_same(mine, reference, **KERNEL)


@holds_for(ZOO)
def test_every_optimizer_of_the_zoo_goes_the_right_way(subject: Subject) -> None:
    """Towards lower values of a mean of squares, or higher ones with ``maximize``."""
    for each in subject.configurations():
        for contiguous in (True, False):
            # Small values: Opt4 and Opt5 divide by exp of a gradient's average.
            weight = 0.3 * normal((10, 5, 2), 78).float()[..., 0]
            bias = 0.3 * normal((10, 2), 79).float()[..., 0]
            if contiguous:
                weight, bias = weight.contiguous(), bias.contiguous()
            first, last = ten_steps(subject, Parameter(weight), Parameter(bias), each.kwargs)
            assert last > first if each.kwargs.get("maximize") else last < first, each.desc


def ten_steps(
    subject: Subject, weight: Parameter, bias: Parameter, kwargs: dict[str, Any]
) -> tuple[float, float]:
    """The loss before and after."""
    given = normal((5,), 77).float()
    optimizer = subject.build([weight, bias], **kwargs)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (weight.mv(given) + bias).square().mean()
        loss.backward()
        return loss

    first = closure().item()
    for _ in range(10):
        optimizer.step(closure)
    return first, closure().item()


def test_flags_that_cannot_be_served_are_refused() -> None:
    for changes, says in (
        ({"differentiable": True}, "differentiable"),
        ({"fused": True, "foreach": True}, "fused=True and foreach=True"),
        ({"weight_decay": -0.1}, "-0.1"),
        ({"weight_decay": float("nan")}, "nan"),
        ({"lr": torch.tensor([RATE, RATE])}, "lr"),
        ({"lr": torch.tensor(float("nan"))}, "nan"),
    ):
        for subject in (ZOO[0], ZOO[-1]):
            with pytest.raises(InputError, match=says):
                subject.build(weights(), **changes)
