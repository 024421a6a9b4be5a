"""State: saved, loaded, copied, refused, and the hooks around that."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from problem import (
    advance,
    assert_same,
    assert_same_state,
    clones,
    through_a_file,
    weights,
)
from subjects import OURS, RATE, SUBJECTS, ZOO, Subject, holds_for
from torch.optim import Optimizer

from evoptim.errors import InputError

FLAGS = ("maximize", "foreach", "fused", "differentiable", "capturable", "decoupled_weight_decay")


@holds_for()
def test_a_saved_run_goes_on_bit_for_bit(subject: Subject) -> None:
    """Through a file that is read by ``weights_only=True``, in the middle of a schedule."""
    for each in subject.configurations():
        mine = weights()
        optimizer = subject.build(mine, **each.kwargs)
        torch.manual_seed(0)
        advance(mine, optimizer, range(4))
        saved = through_a_file(optimizer.state_dict())
        others = clones(mine)
        fresh = subject.build(others, **copy.deepcopy(each.kwargs))
        untouched = copy.deepcopy(saved)
        fresh.load_state_dict(saved)
        assert_same_state(saved, untouched)
        torch.manual_seed(1)
        advance(mine, optimizer, range(4, 7))
        torch.manual_seed(1)
        advance(others, fresh, range(4, 7))
        assert_same(others, mine)
        assert_same_state(fresh.state_dict(), optimizer.state_dict())


@holds_for()
def test_a_run_may_go_on_in_an_optimizer_of_other_arguments(subject: Subject) -> None:
    """What the state says counts, not what the constructor said."""
    mine = weights()
    optimizer = subject.build(mine, weight_decay=0.1)
    advance(mine, optimizer, range(3))
    others = clones(mine)
    fresh = subject.build(others, lr=RATE * 7, weight_decay=0.0, maximize=True)
    fresh.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    advance(mine, optimizer, range(3, 5))
    advance(others, fresh, range(3, 5))
    assert_same(others, mine)


@holds_for()
def test_a_run_may_change_its_way_of_computing(subject: Subject) -> None:
    """From lists to single tensors, or counters on the device, in the middle."""
    mine = weights()
    optimizer = subject.build(mine, foreach=True)
    advance(mine, optimizer, range(3))
    changed = copy.deepcopy(optimizer.state_dict())
    for group in changed["param_groups"]:
        group["foreach"] = False
    others = clones(mine)
    fresh = subject.build(others)
    fresh.load_state_dict(changed)
    advance(mine, optimizer, range(3, 5))
    advance(others, fresh, range(3, 5))
    assert_same(others, mine)


@holds_for()
def test_defaults_may_be_changed_between_steps(subject: Subject) -> None:
    """As ``defaults`` and groups are edited by hand: the next step takes the new path."""
    mine, reference = weights(), weights()
    optimizer, other = subject.build(mine), subject.build(reference)
    advance(mine, optimizer, range(2))
    advance(reference, other, range(4))
    optimizer.defaults["foreach"] = False
    for group in optimizer.param_groups:
        group["foreach"] = False
    advance(mine, optimizer, range(2, 4))
    assert_same(mine, reference)


@holds_for(OURS)
def test_loading_shares_nothing_with_what_is_loaded(subject: Subject) -> None:
    mine = weights()
    optimizer = subject.build(mine, lr=torch.tensor(RATE))
    advance(mine, optimizer, range(3))
    others = clones(mine)
    fresh = subject.build(others)
    fresh.load_state_dict(optimizer.state_dict())
    before = copy.deepcopy(optimizer.state_dict())
    for group in fresh.param_groups:
        group["lr"].fill_(RATE * 3)
    advance(others, fresh, range(3, 6))
    assert_same_state(optimizer.state_dict(), before)


@holds_for()
def test_equal_runs_have_equal_states(subject: Subject) -> None:
    dicts = []
    for _ in range(2):
        mine = weights()
        optimizer = subject.build(mine)
        advance(mine, optimizer, range(4))
        dicts.append(optimizer.state_dict())
        for name in ("state", "param_groups"):
            assert name in dicts[-1]
        # A group that is there twice is written the same way twice.
        optimizer.param_groups.extend(optimizer.param_groups)
        groups = optimizer.state_dict()["param_groups"]
        assert groups[0]["params"] == groups[-1]["params"]
    assert_same_state(*dicts)


def assert_goes_on_from(subject: Subject, change: Callable[[dict[str, Any]], None]) -> None:
    """A run whose state was saved in the form that ``change`` makes of it goes on bit for bit."""
    mine, reference = weights(), weights()
    optimizer, other = subject.build(mine), subject.build(reference)
    advance(mine, optimizer, range(3))
    advance(reference, other, range(5))
    saved = copy.deepcopy(optimizer.state_dict())
    change(saved)
    optimizer.load_state_dict(saved)
    advance(mine, optimizer, range(3, 5))
    assert_same(mine, reference)


@holds_for()
def test_a_state_of_before_a_flag_existed_is_read(subject: Subject) -> None:
    def without_flags(saved: dict[str, Any]) -> None:
        for group in saved["param_groups"]:
            for flag in FLAGS:
                group.pop(flag, None)

    assert_goes_on_from(subject, without_flags)


@holds_for()
def test_a_state_with_counters_as_plain_numbers_is_read(subject: Subject) -> None:
    def with_plain_counters(saved: dict[str, Any]) -> None:
        for state in saved["state"].values():
            state["step"] = state["step"].item()
        for group in saved["param_groups"]:
            if "step" in group:
                group["step"] = int(group["step"])

    assert_goes_on_from(subject, with_plain_counters)


@holds_for(OURS)
def test_the_state_of_another_formula_is_refused(subject: Subject) -> None:
    """Both are named, and the refused state changes nothing."""
    others = [each for each in SUBJECTS if each.name != subject.name][::17]
    mine = weights()
    optimizer = subject.build(mine)
    advance(mine, optimizer, range(2))
    before = copy.deepcopy(optimizer.state_dict())
    for other in others:
        theirs = weights()
        stranger = other.build(theirs)
        advance(theirs, stranger, range(2))
        name = stranger.state_dict()["param_groups"][0].get("formula")
        if name == before["param_groups"][0]["formula"]:
            continue
        with pytest.raises(InputError) as refused:
            optimizer.load_state_dict(stranger.state_dict())
        assert before["param_groups"][0]["formula"] in str(refused.value)
        assert name is None or name in str(refused.value)
        assert_same_state(optimizer.state_dict(), before)


def test_every_optimizer_of_the_zoo_refuses_every_other() -> None:
    """Each has a name of its own, with and without decay."""
    names: dict[str, list[str]] = {}
    for subject in ZOO:
        group = subject.build(weights()).state_dict()["param_groups"][0]
        names.setdefault(group["formula"], []).append(subject.name)
    assert all(len(each) == 1 for each in names.values()), names


@holds_for()
def test_groups_that_do_not_fit_are_refused(subject: Subject) -> None:
    optimizer = subject.build(weights())
    fewer = subject.build(weights()[:2])
    with pytest.raises(ValueError, match=re.escape("size of optimizer's group")):
        optimizer.load_state_dict(fewer.state_dict())
    more = subject.build([{"params": weights()[:2]}, {"params": weights()[2:]}])
    with pytest.raises(ValueError, match="number of parameter groups"):
        optimizer.load_state_dict(more.state_dict())


@holds_for()
def test_copies_go_on_bit_for_bit(subject: Subject) -> None:
    """By deepcopy and by pickle, together with the weights."""
    for each in subject.configurations():
        mine = weights()
        optimizer = subject.build(mine, **each.kwargs)
        advance(mine, optimizer, range(3))
        copies = [
            copy.deepcopy((mine, optimizer)),
            pickle.loads(pickle.dumps((mine, optimizer))),
        ]
        torch.manual_seed(0)
        advance(mine, optimizer, range(3, 6))
        for others, copied in copies:
            torch.manual_seed(0)
            assert type(copied) is type(optimizer)
            assert public(copied) == public(optimizer)
            advance(others, copied, range(3, 6))
            assert_same(others, mine)


def public(optimizer: Optimizer) -> set[str]:
    return {name for name in vars(optimizer) if not name.startswith("_")}


@holds_for(OURS)
def test_copies_keep_their_defaults(subject: Subject) -> None:
    """A group added to a copy gets what the constructor was given."""
    mine = weights()
    optimizer = subject.build(mine[:2], weight_decay=0.25)
    for copied in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        copied.add_param_group({"params": weights()[2:]})
        assert copied.param_groups[1]["weight_decay"] == 0.25
        assert copied.param_groups[1]["lr"] == RATE


@holds_for()
def test_hooks_around_saving(subject: Subject) -> None:
    mine = weights()
    optimizer = subject.build(mine)
    advance(mine, optimizer, range(2))
    seen: list[str] = []

    def replace(own: Optimizer, saved: dict[str, Any]) -> dict[str, Any]:
        seen.append("after")
        return {**saved, "note": "added"}

    handles = [
        optimizer.register_state_dict_pre_hook(lambda own: seen.append("before")),
        optimizer.register_state_dict_pre_hook(lambda own: seen.append("first"), prepend=True),
        optimizer.register_state_dict_post_hook(replace),
    ]
    assert optimizer.state_dict()["note"] == "added"
    assert seen == ["first", "before", "after"]
    for handle in handles:
        handle.remove()
    assert "note" not in optimizer.state_dict()


@holds_for()
def test_a_hook_before_loading_may_replace_what_is_loaded(subject: Subject) -> None:
    for dtype in (torch.float32, torch.bfloat16) if subject.ours else (torch.float32,):
        optimizer, fresh = saved_and_fresh(subject, dtype)
        saved = copy.deepcopy(optimizer.state_dict())
        fresh.register_load_state_dict_pre_hook(doubled)
        fresh.load_state_dict(saved)
        want = doubled(fresh, saved)
        assert fresh.param_groups[0]["lr"] == RATE / 2
        assert_same_state(fresh.state_dict()["state"], want["state"])


@holds_for()
def test_a_hook_after_loading_finds_everything_loaded(subject: Subject) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        optimizer, fresh = saved_and_fresh(subject, dtype)
        seen: list[Any] = []
        fresh.register_load_state_dict_post_hook(
            lambda own, seen=seen: seen.append(copy.deepcopy(own.state_dict()))
        )
        fresh.load_state_dict(optimizer.state_dict())
        assert len(seen) == 1
        assert_same_state(seen[0], fresh.state_dict())


def saved_and_fresh(subject: Subject, dtype: torch.dtype) -> tuple[Optimizer, Optimizer]:
    mine = weights(dtype)
    optimizer = subject.build(mine)
    advance(mine, optimizer, range(2))
    return optimizer, subject.build(clones(mine))


def doubled(own: Optimizer, state_dict: dict[str, Any]) -> dict[str, Any]:
    """The same state with its tensors doubled and half the rate."""
    changed = copy.deepcopy(state_dict)
    for state in changed["state"].values():
        for name, value in state.items():
            if name != "step":
                value.mul_(2)
    for group in changed["param_groups"]:
        group["lr"] = RATE / 2
    return changed


@holds_for(OURS)
def test_a_hook_may_make_a_foreign_state_acceptable(subject: Subject) -> None:
    mine = weights()
    optimizer = subject.build(mine)
    advance(mine, optimizer, range(2))
    saved = copy.deepcopy(optimizer.state_dict())
    name = saved["param_groups"][0].pop("formula")

    def repair(own: Optimizer, state_dict: dict[str, Any]) -> dict[str, Any]:
        groups = [{**group, "formula": name} for group in state_dict["param_groups"]]
        return {**state_dict, "param_groups": groups}

    fresh = subject.build(clones(mine))
    fresh.register_load_state_dict_pre_hook(repair)
    fresh.load_state_dict(saved)
    assert_same_state(fresh.state_dict()["state"], saved["state"])


@holds_for()
def test_state_follows_the_type_and_place_of_the_weights(subject: Subject) -> None:
    """What was saved with float32 weights goes on with float64 ones."""
    mine = weights()
    optimizer = subject.build(mine)
    advance(mine, optimizer, range(3))
    wide = [torch.nn.Parameter(weight.detach().double()) for weight in mine]
    fresh = subject.build(wide)
    fresh.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for weight in wide:
        for name, value in fresh.state[weight].items():
            assert value.dtype == (torch.float32 if name == "step" else torch.float64)
    advance(wide, fresh, range(3, 5))
    assert all(weight.isfinite().any() or not weight.numel() for weight in wide)


@holds_for(OURS)
def test_a_schedule_is_resumed_where_it_stood(subject: Subject) -> None:
    """Warm-up, hold and descent in pieces are those in one piece."""
    changes = {"total_steps": 12, "warmup_steps": 3, "hold_steps": 2}
    whole = weights()
    advance(whole, subject.build(whole, **changes), range(12))
    mine = weights()
    optimizer = subject.build(mine, **changes)
    for first in range(0, 12, 4):
        advance(mine, optimizer, range(first, first + 4))
        saved = through_a_file(optimizer.state_dict())
        mine = clones(mine)
        optimizer = subject.build(mine, **changes)
        optimizer.load_state_dict(saved)
    assert_same(mine, whole)
