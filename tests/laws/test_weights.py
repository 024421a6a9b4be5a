"""Weights of every type, layout and size."""

from __future__ import annotations

import pytest
import torch
from problem import (
    advance,
    assert_same,
    assert_same_state,
    clones,
    give_gradients,
    normal,
    through_a_file,
    weights,
)
from subjects import OURS, RANDOM, ZOO, Subject, holds_for
from torch import Tensor
from torch.nn import Parameter

HALVES = (torch.float16, torch.bfloat16)


def real(tensor: Tensor) -> Tensor:
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


@holds_for()
def test_complex_weights_are_pairs_of_real_ones(subject: Subject) -> None:
    """Beside a real weight, with every argument set."""
    for each in subject.configurations(("foreach",)):
        pairs = [normal((*shape, 2), 4, place) for place, shape in enumerate([(4, 3), (5,), ()])]
        twins = [Parameter(pair.float()) for pair in pairs]
        complex_ones = [Parameter(torch.view_as_complex(pair.float())) for pair in pairs]
        twins.append(Parameter(normal((2, 2), 4, 4).float()))
        complex_ones.append(Parameter(normal((2, 2), 4, 4).float()))
        torch.manual_seed(0)
        one = subject.build(complex_ones, **each.kwargs)
        for step in range(4):
            give_gradients(twins, step)
            for mine, twin in zip(complex_ones, twins, strict=True):
                assert twin.grad is not None
                mine.grad = (
                    torch.view_as_complex(twin.grad.clone())
                    if mine.is_complex()
                    else twin.grad.clone()
                )
            one.step()
        torch.manual_seed(0)
        other = subject.build(twins, **each.kwargs)
        advance(twins, other, range(4))
        assert_same([real(mine) for mine in complex_ones], twins)


@holds_for()
def test_a_complex_objective_descends_like_its_real_form(subject: Subject) -> None:
    """|z - (1 + 2i)|² by autograd, as a function of complex numbers and of pairs of real ones."""
    z = Parameter(torch.tensor([0.5 - 0.25j, 1.5 + 0.5j]))
    xy = Parameter(torch.view_as_real(z.detach()).clone())
    one, other = subject.build([z]), subject.build([xy])
    for _ in range(3):
        one.zero_grad()
        distance = z - (1 + 2j)
        (distance * distance.conj()).real.sum().backward()
        one.step()
        other.zero_grad()
        (xy - torch.tensor([1.0, 2.0])).square().sum().backward()
        other.step()
    assert_same([torch.view_as_real(z)], [xy])


@holds_for()
def test_strides_do_not_matter(subject: Subject) -> None:
    """Slices, transposed and channels-last weights, and gradients laid out otherwise."""
    layouts = [
        lambda: normal((6, 4, 2), 1).float()[..., 0],
        lambda: normal((4, 6), 2).float().t(),
        lambda: normal((2, 3, 4, 4), 3).float().to(memory_format=torch.channels_last),
        lambda: normal((1, 5), 4).float().expand(3, 5).contiguous().t(),
    ]
    for each in subject.configurations(("foreach",)):
        if subject.stochastic and each.kwargs.get("capturable"):
            # torch fills a tensor with random numbers in the order of its memory.
            continue
        odd = [Parameter(layout()) for layout in layouts]
        plain = [Parameter(layout().contiguous()) for layout in layouts]
        runs = []
        for mine in (odd, plain):
            torch.manual_seed(0)
            optimizer = subject.build(mine, **each.kwargs)
            for step in range(4):
                give_gradients(mine, step)
                if mine is odd and step % 2:
                    for weight in mine:
                        # A gradient with the strides of its weight, or reversed ones.
                        assert weight.grad is not None
                        weight.grad = torch.empty_like(weight.detach()).copy_(weight.grad)
                optimizer.step()
            runs.append(mine)
        strides = [weight.stride() for weight in odd]
        assert strides == [layout().stride() for layout in layouts]
        if subject.elementwise:
            assert_same(*runs)
        else:
            # A sum over a tensor goes along its strides.
            assert_same(*runs, rtol=1e-5, atol=1e-6)


@holds_for()
def test_weights_of_many_types_together_move_as_alone(subject: Subject) -> None:
    types = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float32)
    together = [Parameter(normal((2, 3), 6, n).to(each, copy=True)) for n, each in enumerate(types)]
    apart = clones(together)
    both = subject.build(together)
    for step in range(4):
        give_gradients(together, step)
        both.step()
    for place, weight in enumerate(apart):
        # Masks go by the place among all tensors: the others are there, without gradients.
        others = clones(together)
        alone = subject.build([*others[:place], weight, *others[place + 1 :]])
        for step in range(4):
            weight.grad = normal((2, 3), 1 + step, place).to(weight.dtype)
            alone.step()
    assert_same(together, apart)


@holds_for(OURS)
def test_small_types_compute_and_remember_in_float32(subject: Subject) -> None:
    """A 16-bit weight moves as a float32 one that is rounded after each step."""
    for dtype in HALVES:
        small, wide = weights(dtype), [Parameter(w.detach().float()) for w in weights(dtype)]
        one, other = subject.build(small), subject.build(wide)
        for step in range(4):
            give_gradients(small, step)
            for weight, twin in zip(small, wide, strict=True):
                assert weight.grad is not None
                twin.grad = weight.grad.float()
            one.step()
            other.step()
            for weight, twin in zip(small, wide, strict=True):
                twin.data.copy_(twin.detach().to(dtype).float())
                assert weight.dtype == dtype
        assert_same([weight.float() for weight in small], wide)
        for weight in small:
            assert {v.dtype for v in one.state[weight].values()} == {torch.float32}


@holds_for(OURS)
def test_small_types_keep_float32_through_files(subject: Subject) -> None:
    """torch itself would round loaded state to the type of the weights."""
    for dtype in HALVES:
        mine = weights(dtype)
        optimizer = subject.build(mine)
        advance(mine, optimizer, range(3))
        saved = through_a_file(optimizer.state_dict())
        others = clones(mine)
        fresh = subject.build(others)
        fresh.load_state_dict(saved)
        assert_same_state(fresh.state_dict()["state"], optimizer.state_dict()["state"])
        advance(mine, optimizer, range(3, 6))
        advance(others, fresh, range(3, 6))
        assert_same(others, mine)


@holds_for(OURS)
def test_a_step_of_small_weights_does_not_round_the_average_away(subject: Subject) -> None:
    """The state after many steps is that of float32 weights, where it does not read weights."""
    if any(slot not in ("step", "v", "s", "l", "squares", "m") for slot in slots(subject)):
        return
    small = [Parameter(torch.zeros(3, dtype=torch.bfloat16))]
    wide = [Parameter(torch.zeros(3))]
    one, other = subject.build(small), subject.build(wide)
    for step in range(30):
        for mine in (small, wide):
            mine[0].grad = normal((3,), 1 + step).to(torch.bfloat16).to(mine[0].dtype)
        one.step()
        other.step()
    assert_same_state(one.state_dict()["state"], other.state_dict()["state"])


def slots(subject: Subject) -> set[str]:
    mine = [Parameter(torch.ones(1))]
    optimizer = subject.build(mine)
    advance(mine, optimizer, range(1))
    return set(optimizer.state[mine[0]])


@holds_for()
def test_elements_move_alone(subject: Subject) -> None:
    """Cut a weight in two: where no operator reads the whole tensor, the halves do the same."""
    if not subject.elementwise or subject.stochastic:
        return
    whole = [Parameter(normal((8, 3), 9).float())]
    parts = [Parameter(normal((8, 3), 9).float()[:5]), Parameter(normal((8, 3), 9).float()[5:])]
    one, other = subject.build(whole), subject.build(parts)
    for step in range(4):
        give_gradients(whole, step)
        assert whole[0].grad is not None
        parts[0].grad, parts[1].grad = whole[0].grad[:5].clone(), whole[0].grad[5:].clone()
        one.step()
        other.step()
    # Vectorised and scalar loops round transcendental functions differently in the last bit.
    assert_same([torch.cat([part.detach() for part in parts])], whole, rtol=1e-5, atol=1e-6)


@holds_for((*ZOO, *RANDOM[::5]))
def test_a_long_tensor_moves_as_its_short_form(subject: Subject) -> None:
    """Longer than what is computed at once: its first elements move like a tensor of them."""
    if not subject.elementwise or subject.stochastic:
        return
    length, head = 2**17 + 77, 64
    numbers = normal((length,), 10).float()
    long, short = [Parameter(numbers.clone())], [Parameter(numbers[-head:].clone())]
    one, other = subject.build(long), subject.build(short)
    for step in range(2):
        long[0].grad = numbers * (step + 1)
        short[0].grad = long[0].grad[-head:].clone()
        one.step()
        other.step()
    assert_same([long[0][-head:]], short, rtol=1e-5, atol=1e-6)


@holds_for()
def test_the_default_type_of_torch_plays_no_part(subject: Subject) -> None:
    want, mine = weights(), weights()
    advance(want, subject.build(want), range(4))
    torch.set_default_dtype(torch.float64)
    try:
        optimizer = subject.build(mine)
        advance(mine, optimizer, range(4))
        expected = torch.float32 if subject.ours else torch.float64
        assert optimizer.state[mine[0]]["step"].dtype == expected
    finally:
        torch.set_default_dtype(torch.float32)
    assert_same(mine, want)


@holds_for()
def test_weights_made_in_inference_mode_or_without_grad_can_be_stepped(subject: Subject) -> None:
    mine = [torch.ones(3), torch.ones(2)]
    optimizer = subject.build(mine)
    with torch.no_grad():
        for weight in mine:
            weight.grad = torch.ones_like(weight)
        optimizer.step()
    assert not any(weight.requires_grad for weight in mine)


def test_a_weight_that_is_no_leaf_is_refused() -> None:
    for subject in (OURS[0], OURS[-1]):
        with pytest.raises(ValueError, match="non-leaf"):
            subject.build([Parameter(torch.ones(2)) * 2])
