"""Parameter groups: their own options, late arrivals, and what is refused."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from problem import advance, assert_same, clones, give_gradients, normal, weights
from subjects import OURS, RATE, STEPS, Subject, holds_for
from torch.nn import Parameter
from torch.testing._internal.common_optimizers import get_error_inputs_for_all_optims

from evoptim.errors import InputError


@holds_for()
def test_what_torch_refuses_is_refused(subject: Subject) -> None:
    """The table of errors that ``torch.testing`` has for all optimizers."""
    for each in get_error_inputs_for_all_optims("cpu", torch.float32):
        given = each.optimizer_error_input
        if given.params is None and subject.ours:
            # A tensor of two rates: torch's own message and ours differ.
            with pytest.raises(ValueError, match="lr"):
                subject.build(weights(), **given.kwargs)
        elif issubclass(each.error_type, Warning):
            with pytest.warns(each.error_type, match=each.error_regex):
                subject.build(given.params, **given.kwargs)
        else:
            with pytest.raises(each.error_type, match=each.error_regex):
                subject.build(given.params or weights(), **given.kwargs)


def assert_groups_move_as_optimizers_of_their_own(
    subject: Subject, options: Sequence[dict[str, Any]], steps: int
) -> None:
    together, apart = weights(), weights()
    halves = [slice(0, 2), slice(2, None)]
    both = subject.build(
        [{"params": together[half], **own} for half, own in zip(halves, options, strict=True)]
    )
    singles = [subject.build(apart[half], **own) for half, own in zip(halves, options, strict=True)]
    for step in range(steps):
        give_gradients(together, step)
        give_gradients(apart, step)
        both.step()
        for single in singles:
            single.step()
    # Masks go by the place among all tensors: those of the first group are the same.
    compared = slice(0, 2 if subject.stochastic else None)
    assert_same(together[compared], apart[compared])


@holds_for()
def test_each_group_goes_by_its_own_options(subject: Subject) -> None:
    """Two groups move as two optimizers would."""
    options = (
        {"lr": RATE / 4, "weight_decay": 0.2},
        {"lr": RATE * 2, "weight_decay": 0.0, "maximize": True},
    )
    assert_groups_move_as_optimizers_of_their_own(subject, options, steps=5)


@holds_for(OURS)
def test_each_group_has_its_own_schedule(subject: Subject) -> None:
    options = ({"total_steps": 9, "warmup_steps": 2}, {"total_steps": 30})
    assert_groups_move_as_optimizers_of_their_own(subject, options, steps=8)


@holds_for()
def test_a_rate_of_almost_nothing_moves_almost_nothing(subject: Subject) -> None:
    mine = weights(torch.float64)
    idle = Parameter(normal((4,), 5, 5).clone())
    before = idle.detach().clone()
    optimizer = subject.build(
        [{"params": mine}, {"params": [idle], "lr": 1e-28, "weight_decay": 0.0}]
    )
    for step in range(5):
        give_gradients([*mine, idle], step)
        optimizer.step()
    torch.testing.assert_close(idle.detach(), before, rtol=0, atol=1e-18, equal_nan=False)


@holds_for()
def test_a_group_added_later_joins_where_the_schedule_stands(subject: Subject) -> None:
    changes = {"total_steps": STEPS, "warmup_steps": 6} if subject.ours else {}
    joined, alone = weights(), weights()
    optimizer = subject.build(joined[:2], **changes)
    reference = subject.build(alone, **changes)
    for step in range(3):
        give_gradients(joined, step)
        give_gradients(alone, step)
        # The reference has them from the start, but without gradients.
        for weight in alone[2:]:
            weight.grad = None
        optimizer.step()
        reference.step()
    optimizer.add_param_group({"params": joined[2:]})
    advance(joined, optimizer, range(3, 7))
    advance(alone, reference, range(3, 7))
    assert_same(joined, alone)


@holds_for(OURS)
def test_a_refused_group_leaves_no_trace(subject: Subject) -> None:
    mine = weights()
    optimizer = subject.build(mine[:2])
    before = copy.deepcopy(optimizer.state_dict())
    for changes in ({"lr": -1.0}, {"lr": float("inf")}, {"weight_decay": -1.0}, {"total_steps": 0}):
        with pytest.raises(InputError):
            optimizer.add_param_group({"params": mine[2:], **changes})
    assert len(optimizer.param_groups) == 1
    assert optimizer.state_dict() == before


@holds_for()
def test_nothing_to_optimize_is_refused(subject: Subject) -> None:
    for nothing in ([], iter(()), ()):
        with pytest.raises(ValueError, match="empty"):
            subject.build(nothing)


@holds_for()
def test_parameters_may_have_names(subject: Subject) -> None:
    """``named_parameters()`` in, the names in ``param_groups`` and ``state_dict``."""
    plain, named = weights(), weights()
    one = subject.build(plain)
    other = subject.build([(f"layer.{place}", weight) for place, weight in enumerate(named)])
    advance(plain, one, range(3))
    advance(named, other, range(3))
    assert_same(plain, named)
    names = [f"layer.{place}" for place in range(len(named))]
    assert other.state_dict()["param_groups"][0]["param_names"] == names
    # From one with names to one without, and back.
    mine = clones(named)
    fresh = subject.build(mine)
    fresh.load_state_dict(copy.deepcopy(other.state_dict()))
    renamed = clones(named)
    again = subject.build([(f"layer.{place}", weight) for place, weight in enumerate(renamed)])
    again.load_state_dict(copy.deepcopy(one.state_dict()))
    for pair in ((named, other), (mine, fresh), (renamed, again)):
        advance(*pair, range(3, 5))
    assert_same(mine, named)
    assert_same(renamed, named)


@holds_for()
def test_one_weight_twice_is_one_weight_with_a_warning(subject: Subject) -> None:
    weight = Parameter(normal((3,), 1).clone())
    with pytest.warns(UserWarning, match="duplicate parameters"):
        optimizer = subject.build([weight, weight])
    assert len(optimizer.param_groups) == 1
