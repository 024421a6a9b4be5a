"""What a step does with gradients, closures and hooks."""

from __future__ import annotations

import gc
import math
import weakref

import pytest
import torch
from problem import advance, assert_same, clones, give_gradients, normal, weights
from subjects import OURS, Subject, holds_for
from torch import Tensor
from torch.nn import Parameter
from torch.optim.optimizer import (
    Optimizer,
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from evoptim.optim import OptimizerError


@holds_for()
def test_prints_its_groups(subject: Subject) -> None:
    for each in subject.configurations(("foreach",)):
        optimizer = subject.build(
            [{"params": weights()[:1]}, {"params": weights()[1:]}], **each.kwargs
        )
        text = repr(optimizer)
        assert text.startswith(type(optimizer).__name__)
        assert "Parameter Group 1" in text
        assert "lr: " in text
        assert "weight_decay: " in text


@holds_for()
def test_without_gradients_nothing_moves(subject: Subject) -> None:
    for each in subject.configurations(("foreach",)):
        mine = weights()
        optimizer = subject.build(mine, **each.kwargs)
        before = clones(mine)
        optimizer.step()
        assert_same(mine, before)
        assert not optimizer.state_dict()["state"]


@holds_for()
def test_frozen_weights_stay_and_cost_nothing(subject: Subject) -> None:
    """Those that require no gradient, and those that the loss does not reach."""
    used, frozen, unused = (Parameter(normal((3,), place).float()) for place in range(3))
    frozen.requires_grad_(False)
    optimizer = subject.build([frozen, used, unused])
    before = clones([used, frozen, unused])
    for _ in range(3):
        optimizer.zero_grad()
        (used.square().sum() + frozen.sum()).backward()
        optimizer.step()
    assert_same([frozen, unused], before[1:])
    assert not optimizer.state[frozen]
    assert not optimizer.state[unused]


@holds_for()
def test_zero_gradients_are_gradients(subject: Subject) -> None:
    """Where the update of nothing is nothing, nothing moves; state is made and counts."""
    mine = weights()
    optimizer = subject.build(mine, weight_decay=0.0)
    for weight in mine:
        weight.grad = torch.zeros_like(weight)
    before = clones(mine)
    optimizer.step()
    for weight, old in zip(mine, before, strict=True):
        assert optimizer.state[weight]["step"] == 1
        if subject.kind == "control" or subject.name in AT_REST:
            assert_same([weight], [old])
        assert_same([weight.grad], [torch.zeros_like(weight)])


AT_REST = frozenset(
    [
        *(f"opt{number}" for number in range(4, 11)),
        *(f"opt{number}-decay" for number in range(4, 11)),
        *(f"adamclip{number}" for number in range(5)),
        *("powersign", "powersign-decay", "addsign", "addsign-decay", "lion"),
        *("evo1", "evo1-decay", "evo2", "evo2-decay"),
    ]
)
"""Those whose update vanishes with the gradient. Opt1 to Opt3 add about 1e-5 w to it."""


@holds_for()
def test_a_closure_is_evaluated_once_with_gradients_and_its_loss_returned(subject: Subject) -> None:
    with_closure, plain = weights(), weights()
    one, other = subject.build(with_closure), subject.build(plain)
    calls = []
    for step in range(3):

        def closure(step: int = step) -> Tensor:
            assert torch.is_grad_enabled()
            calls.append(step)
            give_gradients(with_closure, step)
            return torch.tensor(float(step))

        assert one.step(closure) == step
        give_gradients(plain, step)
        assert other.step() is None
    assert calls == [0, 1, 2]
    assert_same(with_closure, plain)


@holds_for()
def test_gradients_are_left_as_they_are(subject: Subject) -> None:
    for each in subject.configurations(("foreach",)):
        mine, reference = weights(), weights()
        optimizer = subject.build(mine, **each.kwargs)
        for step in range(3):
            give_gradients(mine, step)
            give_gradients(reference, step)
            optimizer.step()
            assert_same([weight.grad for weight in mine], [weight.grad for weight in reference])


@holds_for()
def test_gradients_are_cleared_either_way(subject: Subject) -> None:
    mine = weights()
    optimizer = subject.build(mine)
    give_gradients(mine, 0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=False)
    assert all(weight.grad is not None and not weight.grad.any() for weight in mine)
    optimizer.zero_grad(set_to_none=True)
    assert all(weight.grad is None for weight in mine)


@holds_for()
def test_steps_leave_no_graph_and_weights_in_their_place(subject: Subject) -> None:
    mine = weights()
    optimizer = subject.build(mine)
    places = [weight.data_ptr() for weight in mine]
    versions = [weight._version for weight in mine]
    advance(mine, optimizer, range(2))
    assert [weight.data_ptr() for weight in mine] == places
    # Autograd has to see that a weight changed, or a second backward would use the new value.
    assert all(w._version > before for w, before in zip(mine, versions, strict=True) if w.numel())
    for weight in mine:
        assert weight.is_leaf
        for value in optimizer.state[weight].values():
            assert not value.requires_grad


@holds_for()
def test_hooks_run_around_every_step(subject: Subject) -> None:
    mine = weights()
    optimizer = subject.build(mine)
    seen: list[str] = []

    def noted(name: str):
        def hook(own: Optimizer, args: object, kwargs: object) -> None:
            assert own is optimizer
            seen.append(name)

        return hook

    handles = [
        register_optimizer_step_pre_hook(noted("all before")),
        optimizer.register_step_pre_hook(noted("before")),
        optimizer.register_step_post_hook(noted("after")),
        register_optimizer_step_post_hook(noted("all after")),
    ]
    try:
        advance(mine, optimizer, range(2))
    finally:
        for handle in handles:
            handle.remove()
    order = ["all before", "before", "after", "all after"]
    assert [name for name in seen if name in ("before", "after")] == ["before", "after"] * 2
    assert sorted(seen) == sorted(order * 2)
    advance(mine, optimizer, range(2, 3))
    assert len(seen) == 8


@holds_for()
def test_a_hook_before_the_step_may_change_its_gradients(subject: Subject) -> None:
    hooked, plain = weights(), weights()
    one, other = subject.build(hooked), subject.build(plain)

    def halve(own: Optimizer, args: object, kwargs: object) -> None:
        for weight in hooked:
            if weight.grad is not None:
                weight.grad.mul_(0.5)

    one.register_step_pre_hook(halve)
    for step in range(3):
        give_gradients(hooked, step)
        give_gradients(plain, step, sign=0.5)
        one.step()
        other.step()
    assert_same(hooked, plain)


@holds_for()
def test_a_gradient_scaler_skips_the_step_of_an_overflow(subject: Subject) -> None:
    scaled, plain = weights(), weights()
    one, other = subject.build(scaled), subject.build(plain)
    # A power of two: scaling and unscaling round nothing.
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=100)
    for step in range(4):
        for weight in scaled:
            weight.grad = None
        # A loss with the gradient that is wanted.
        loss = sum(
            ((weight * normal(tuple(weight.shape), 1 + step, place).float()).sum())
            for place, weight in enumerate(scaled)
        )
        assert isinstance(loss, Tensor)
        scaler.scale(loss).backward()
        if step == 1:
            assert scaled[0].grad is not None
            scaled[0].grad[0, 0] = math.inf
        before = clones(scaled)
        scaler.step(one)
        scaler.update()
        if step == 1:
            assert_same(scaled, before)
            continue
        give_gradients(plain, step)
        other.step()
    assert scaler.get_scale() == 512.0
    assert_same(scaled, plain)


@holds_for(OURS)
def test_sparse_gradients_are_refused_and_nothing_moves(subject: Subject) -> None:
    mine = weights()
    optimizer = subject.build(mine)
    advance(mine, optimizer, range(1))
    before = clones(mine)
    give_gradients(mine, 1)
    assert mine[0].grad is not None
    mine[0].grad = mine[0].grad.to_sparse()
    with pytest.raises(OptimizerError, match="sparse=False"):
        optimizer.step()
    assert_same(mine, before)
    mine[0].grad = None
    optimizer.step()


@holds_for(OURS)
def test_past_the_horizon_the_last_value_holds_with_one_warning(subject: Subject) -> None:
    mine = weights()
    optimizer = subject.build(mine, total_steps=4)
    advance(mine, optimizer, range(4))
    give_gradients(mine, 4)
    with pytest.warns(UserWarning, match="total_steps=4") as caught:
        optimizer.step()
    assert len(caught) == 1
    # Any further warning is an error.
    advance(mine, optimizer, range(5, 8))
    assert int(optimizer.param_groups[0]["step"]) == 8


@holds_for()
def test_an_external_scheduler_drives_the_rate(subject: Subject) -> None:
    """The rate of a step is what the scheduler has left in the group."""
    scheduled, by_hand = weights(), weights()
    changes = {"base_schedule": False} if subject.horizon else {}
    one, other = subject.build(scheduled, **changes), subject.build(by_hand, **changes)
    scheduler = torch.optim.lr_scheduler.StepLR(one, step_size=2, gamma=0.1)
    for step in range(6):
        for group in other.param_groups:
            group["lr"] = scheduler.get_last_lr()[0]
        advance(scheduled, one, range(step, step + 1))
        scheduler.step()
        advance(by_hand, other, range(step, step + 1))
    assert scheduler.get_last_lr()[0] == pytest.approx(1e-5)
    assert_same(scheduled, by_hand)


@holds_for()
def test_an_optimizer_is_freed_with_its_state(subject: Subject) -> None:
    """No cache and no cycle keeps state tensors alive once the optimizer is gone."""
    mine = weights()
    # What is made from here on is in the youngest generation: collecting that is quick.
    gc.disable()
    optimizer = subject.build(mine)
    advance(mine, optimizer, range(2))
    kept = [
        weakref.ref(value)
        for weight in mine
        for value in optimizer.state[weight].values()
        if isinstance(value, Tensor)
    ]
    assert kept
    del optimizer
    gc.collect(0)
    gc.enable()
    assert all(reference() is None for reference in kept)


@holds_for(OURS)
def test_state_is_what_was_promised(subject: Subject) -> None:
    """``step`` in float32, the rest like the weight; the group counts steps."""
    mine = weights()
    optimizer = subject.build(mine)
    advance(mine, optimizer, range(2))
    for weight in mine:
        state = dict(optimizer.state[weight])
        step = state.pop("step")
        assert step.dtype == torch.float32
        assert step.shape == ()
        assert step == 2
        for value in state.values():
            assert value.shape == weight.shape
            assert value.dtype == weight.dtype
        if subject.genome is not None:
            assert set(state) == {slot.name for slot in subject.genome.state_slots()}
    assert int(optimizer.param_groups[0]["step"]) == 2
