"""The evolved learning-rate schedules: values, resuming, groups, tensor rates, and refusals."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy_reference import decay_primitives, learning_rates
from numpy_reference.schedules import Float64
from scipy.special import erf, erfc
from torch.optim import SGD, AdamW, Optimizer

from evoptim.errors import InputError
from evoptim.zoo.schedules import (
    CURVES,
    SCHEDULES,
    EvolvedLR,
    EvolvedLR0,
    EvolvedLR2,
    EvolvedLR7,
    evolved_factors,
    schedule,
)

KINDS = tuple(range(9))


def written_out(kind: int, total_steps: int) -> Float64:
    """The learned factors, from their formulas over NumPy's primitives."""
    a = {int(name[1:]): values for name, values in decay_primitives(total_steps, "wide").items()}

    def d(x: Float64) -> Float64:
        return 1 - np.tanh(x) ** 2

    def s(x: Float64) -> Float64:
        return 1 / (1 + np.abs(x))

    def sig(x: Float64) -> Float64:
        return 1 / (1 + np.exp(-x))

    def softsign(x: Float64) -> Float64:
        return x / (1 + np.abs(x))

    formulas: tuple[Callable[[], Float64], ...] = (
        lambda: erfc(erfc(a[4])) / d(a[8]),
        lambda: erfc(erfc(a[4])) / (d(a[8]) * d(a[4])),
        lambda: np.arctan(a[2]) / (d(a[10]) * np.sqrt(s(a[14]))),
        lambda: sig(a[2]) ** 2 / sig(2 * softsign(a[1])),
        lambda: 1 / np.sqrt(erf(a[11])),
        lambda: np.arctan(a[2]) * erfc(a[6]) / np.sqrt(s(a[6])),
        lambda: 1 / np.sqrt(s(a[10])),
        lambda: 1 / (np.sqrt(softsign(np.arctan(a[12]))) + 1e-7),
        lambda: np.tanh(np.maximum(a[10], a[6])),
    )
    return formulas[kind]()


def weight(value: float = 1.0) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.full((3,), value))


def sgd(lr: Any = 1.0) -> Optimizer:
    return SGD([weight()], lr=lr)


def rates_of(optimizer: Optimizer) -> list[float]:
    return [float(group["lr"]) for group in optimizer.param_groups]


def follow(scheduler: EvolvedLR, steps: int) -> list[list[float]]:
    """The rates that so many optimizer steps are taken at."""
    found = []
    for _ in range(steps):
        found.append(rates_of(scheduler.optimizer))
        scheduler.optimizer.step()
        scheduler.step()
    return found


def first_rates(scheduler: EvolvedLR, steps: int) -> list[float]:
    return [rates[0] for rates in follow(scheduler, steps)]


def through_disk(state: Any) -> Any:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


# --- values -------------------------------------------------------------------------------------


def test_there_are_nine() -> None:
    assert tuple(SCHEDULES) == tuple(CURVES) == KINDS
    for kind, each in SCHEDULES.items():
        assert (each.kind, each.__name__) == (kind, f"EvolvedLR{kind}")
        assert issubclass(each, torch.optim.lr_scheduler.LRScheduler)
        assert CURVES[kind].kind == kind


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("total_steps", [1, 2, 7, 100, 1000])
def test_factors_are_those_of_the_formula(kind: int, total_steps: int) -> None:
    # Double precision on both sides; two libraries' erfc differ in the last digits.
    want = written_out(kind, total_steps)
    assert np.allclose(evolved_factors(kind, total_steps), want, rtol=1e-12, atol=0)
    assert CURVES[kind].values(total_steps) == evolved_factors(kind, total_steps)


def test_a_curve_is_itself_after_pickling_and_copying() -> None:
    for curve in CURVES.values():
        assert pickle.loads(pickle.dumps(curve)) is curve
        assert copy.deepcopy(curve) is curve


def test_factors_by_hand() -> None:
    # Half of the run: a8 = m = 0 and a4 = 1/2, so that kind 0 is erfc(erfc(1/2)) = erfc(0.4795001)
    # and kind 6 is 1; kind 8 is tanh(max(0, 1)).
    assert evolved_factors(0, 4)[2] == pytest.approx(0.4976984, abs=1e-7)
    assert evolved_factors(6, 4)[2] == 1.0
    assert evolved_factors(8, 4)[2] == pytest.approx(0.7615942, abs=1e-7)
    # The start: sig(0)² / sig(2 · 1/2) = 0.25 / 0.7310586.
    assert evolved_factors(3, 4)[0] == pytest.approx(0.3419699, abs=1e-7)
    assert evolved_factors(7, 4)[0] == pytest.approx(1e7)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=15)
@given(
    warmup=st.integers(0, 8),
    hold=st.integers(0, 8),
    rest=st.integers(1, 20),
    target=st.floats(1e-3, 100),
)
def test_rates_are_target_times_base_times_factor(
    kind: int, warmup: int, hold: int, rest: int, target: float
) -> None:
    total = warmup + hold + rest
    scheduler = schedule(kind, sgd(target), total_steps=total, warmup_steps=warmup, hold_steps=hold)
    want = learning_rates(target, total, warmup, hold) * written_out(kind, total)
    want[0] = 1e-7
    # Two cosines of double precision; near the end of the schedule both are close to 0.
    atol = 1e-12 * target
    assert np.allclose(first_rates(scheduler, total), want, rtol=1e-11, atol=atol)


@pytest.mark.parametrize(
    ("kind", "peak"),
    list(enumerate([0.60, 0.76, 0.77, 0.39, 1.58, 0.13, 1.09, 4.82, 0.49])),
)
def test_published_peaks(kind: int, peak: float) -> None:
    rates = first_rates(schedule(kind, sgd(), total_steps=1000, warmup_steps=10), 1000)
    # They are given to two digits, some cut and some rounded.
    assert peak - 0.005 <= max(rates) < peak + 0.01
    assert f"Peak: {peak:.2f} of the target" in (SCHEDULES[kind].__doc__ or "")


@pytest.mark.parametrize("kind", KINDS)
def test_each_class_documents_the_formula_of_its_curve(kind: int) -> None:
    text = " ".join((SCHEDULES[kind].__doc__ or "").split())
    assert CURVES[kind].latex in text
    assert "arXiv 2404.06679" in text
    assert "Past ``total_steps``" in text


@pytest.mark.parametrize("target", [0.0, 1e-9, 30.0])
def test_the_first_rate_is_absolute(target: float) -> None:
    assert rates_of(EvolvedLR7(sgd(target), total_steps=5).optimizer) == [1e-7]


def test_a_schedule_of_one_step() -> None:
    assert first_rates(EvolvedLR0(sgd(), total_steps=1), 1) == [1e-7]


# --- past the end -------------------------------------------------------------------------------


def test_a_whole_run_warns_of_nothing() -> None:
    # torch's convention asks for the rate after the last step too; warnings are errors here.
    scheduler = EvolvedLR0(sgd(), total_steps=6)
    rates = first_rates(scheduler, 6)
    assert rates_of(scheduler.optimizer) == rates[-1:]


def test_past_the_end_the_last_rate_holds_with_one_warning() -> None:
    scheduler = EvolvedLR0(sgd(), total_steps=6)
    last = first_rates(scheduler, 6)[-1]
    with pytest.warns(UserWarning, match="spans total_steps=6 steps and more are taken") as caught:
        held = first_rates(scheduler, 5)
    assert held == [last] * 5
    assert last > 0
    assert [each.filename for each in caught] == [__file__]


def test_a_resumed_run_does_not_warn_again() -> None:
    scheduler = EvolvedLR0(sgd(), total_steps=2)
    with pytest.warns(UserWarning, match="its last rate holds"):
        follow(scheduler, 3)
    resumed = EvolvedLR0(sgd(), total_steps=2)
    resumed.load_state_dict(through_disk(scheduler.state_dict()))
    assert follow(resumed, 2)[0] == rates_of(scheduler.optimizer)


# --- resuming -----------------------------------------------------------------------------------

runs = given(
    kind=st.sampled_from(KINDS),
    warmup=st.integers(0, 4),
    hold=st.integers(0, 3),
    rest=st.integers(1, 12),
    data=st.data(),
)


def two_groups(tensor_rates: bool) -> Optimizer:
    lrs = [0.3, 2.0]
    made = [torch.tensor(lr, dtype=torch.float64) for lr in lrs] if tensor_rates else lrs
    groups = [{"params": [weight()], "lr": lr} for lr in made]
    return SGD(groups, lr=1.0)


@settings(deadline=None, max_examples=60)
@runs
def test_resuming_from_the_state_is_exact(
    kind: int, warmup: int, hold: int, rest: int, data: st.DataObject
) -> None:
    total = warmup + hold + rest
    taken = data.draw(st.integers(0, total))
    tensor_rates = data.draw(st.booleans())
    horizon = {"total_steps": total, "warmup_steps": warmup, "hold_steps": hold}
    scheduler = schedule(kind, two_groups(tensor_rates), **horizon)
    follow(scheduler, taken)
    saved = through_disk([scheduler.optimizer.state_dict(), scheduler.state_dict()])

    resumed = schedule(kind, two_groups(tensor_rates), **horizon)
    optimizer_last = data.draw(st.booleans())
    if optimizer_last:
        resumed.load_state_dict(saved[1])
        resumed.optimizer.load_state_dict(saved[0])
    else:
        resumed.optimizer.load_state_dict(saved[0])
        resumed.load_state_dict(saved[1])
    assert resumed.get_last_lr() == scheduler.get_last_lr()
    assert follow(resumed, total - taken) == follow(scheduler, total - taken)


@settings(deadline=None, max_examples=60)
@runs
def test_resuming_from_last_epoch_is_exact(
    kind: int, warmup: int, hold: int, rest: int, data: st.DataObject
) -> None:
    total = warmup + hold + rest
    taken = data.draw(st.integers(1, total))
    horizon = {"total_steps": total, "warmup_steps": warmup, "hold_steps": hold}
    scheduler = schedule(kind, two_groups(data.draw(st.booleans())), **horizon)
    follow(scheduler, taken)
    optimizer = two_groups(False)
    optimizer.load_state_dict(through_disk(scheduler.optimizer.state_dict()))
    resumed = SCHEDULES[kind](optimizer, **horizon, last_epoch=taken - 1)
    assert follow(resumed, total - taken) == follow(scheduler, total - taken)


def test_a_scheduler_made_after_the_optimizers_state_is_loaded() -> None:
    # torch's own schedulers lose the rate in this order: making one sets it back to the start.
    scheduler = EvolvedLR2(sgd(), total_steps=20)
    follow(scheduler, 9)
    optimizer = sgd()
    optimizer.load_state_dict(scheduler.optimizer.state_dict())
    resumed = EvolvedLR2(optimizer, total_steps=20)
    assert rates_of(optimizer) == [1e-7]
    resumed.load_state_dict(scheduler.state_dict())
    assert follow(resumed, 11) == follow(scheduler, 11)


def test_the_state_brings_its_own_horizon_and_targets() -> None:
    scheduler = EvolvedLR2(sgd(0.25), total_steps=20, warmup_steps=3, hold_steps=2)
    follow(scheduler, 4)
    resumed = EvolvedLR2(sgd(7.0), total_steps=5)
    resumed.load_state_dict(scheduler.state_dict())
    assert follow(resumed, 16) == follow(scheduler, 16)


def test_the_state_is_small_and_does_not_follow_the_schedule() -> None:
    scheduler = EvolvedLR0(sgd(), total_steps=10_000)
    follow(scheduler, 3)
    state = scheduler.state_dict()
    assert len(str(state)) < 500
    kept = through_disk(state)
    scheduler.optimizer.add_param_group({"params": [weight()], "lr": 4.0})
    follow(scheduler, 1)
    assert {key: state[key] for key in kept} == kept


def test_the_state_of_another_schedule_is_refused() -> None:
    scheduler = EvolvedLR2(sgd(), total_steps=10)
    with pytest.raises(InputError, match="is that of EvolvedLR0, this schedule is EvolvedLR2"):
        scheduler.load_state_dict(EvolvedLR0(sgd(), total_steps=10).state_dict())
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(sgd(), T_max=10)
    with pytest.raises(InputError, match="that of no evolved schedule, this schedule is Evolved"):
        scheduler.load_state_dict(cosine.state_dict())
    assert scheduler.last_epoch == 0


# --- groups and tensor rates --------------------------------------------------------------------


def test_every_group_has_its_own_target() -> None:
    scheduler = EvolvedLR2(two_groups(False), total_steps=10)
    found = np.array(follow(scheduler, 10))
    alone = np.array(first_rates(EvolvedLR2(sgd(1.0), total_steps=10), 10))
    assert np.array_equal(found[0], [1e-7, 1e-7])
    # The order of two multiplications differs.
    assert np.allclose(found[1:], np.outer(alone[1:], [0.3, 2.0]), rtol=1e-15, atol=0)


def test_a_target_set_by_an_earlier_schedule_is_kept() -> None:
    optimizer = sgd(0.5)
    follow(EvolvedLR0(optimizer, total_steps=10), 4)
    again = first_rates(EvolvedLR0(optimizer, total_steps=10), 10)
    assert again == first_rates(EvolvedLR0(sgd(0.5), total_steps=10), 10)


def test_a_tensor_rate_is_filled_in_place() -> None:
    rate = torch.tensor(0.5)
    optimizer = AdamW([weight()], lr=rate, capturable=False, foreach=False)
    scheduler = schedule(4, optimizer, total_steps=12, warmup_steps=3)
    found = first_rates(scheduler, 12)
    assert optimizer.param_groups[0]["lr"] is rate
    assert isinstance(scheduler.get_last_lr()[0], torch.Tensor)
    assert scheduler.get_last_lr()[0] is not rate
    want = first_rates(schedule(4, sgd(0.5), total_steps=12, warmup_steps=3), 12)
    # The tensor holds single precision.
    assert np.allclose(found, want, rtol=1e-6, atol=0)


def test_a_group_added_later_joins_at_the_next_step() -> None:
    scheduler = EvolvedLR2(sgd(1.0), total_steps=10)
    follow(scheduler, 4)
    scheduler.optimizer.add_param_group({"params": [weight()], "lr": 3.0})
    found = np.array(follow(scheduler, 6))
    assert found[0, 1] == 3.0
    assert np.allclose(found[1:, 1], 3 * found[1:, 0], rtol=1e-15, atol=0)
    assert scheduler.optimizer.param_groups[1]["initial_lr"] == 3.0


def test_a_group_added_just_before_saving_is_resumed() -> None:
    def late_group(optimizer: Optimizer) -> None:
        optimizer.add_param_group({"params": [weight()], "lr": 3.0})

    scheduler = EvolvedLR2(sgd(1.0), total_steps=10)
    follow(scheduler, 4)
    late_group(scheduler.optimizer)
    optimizer = sgd(1.0)
    late_group(optimizer)
    resumed = EvolvedLR2(optimizer, total_steps=10)
    optimizer.load_state_dict(scheduler.optimizer.state_dict())
    resumed.load_state_dict(scheduler.state_dict())
    assert follow(resumed, 6) == follow(scheduler, 6)


def test_an_added_group_that_shares_the_rates_tensor_shares_the_target() -> None:
    # torch gives a group without a rate of its own the very tensor, scaled as it already is.
    rate = torch.tensor(2.0, dtype=torch.float64)
    scheduler = EvolvedLR2(sgd(rate), total_steps=10)
    follow(scheduler, 4)
    scheduler.optimizer.add_param_group({"params": [weight()]})
    assert scheduler.optimizer.param_groups[1]["lr"] is rate
    found = follow(scheduler, 6)
    want = first_rates(EvolvedLR2(sgd(2.0), total_steps=10), 10)[4:]
    # Exact: the tensor is of double precision.
    assert found == [[each, each] for each in want]


def test_a_group_with_a_tensor_of_its_own() -> None:
    scheduler = EvolvedLR2(sgd(torch.tensor(2.0).double()), total_steps=10)
    follow(scheduler, 4)
    own = torch.tensor(3.0, dtype=torch.float64)
    scheduler.optimizer.add_param_group({"params": [weight()], "lr": own})
    found = np.array(follow(scheduler, 6))
    assert np.allclose(found[1:, 1], 1.5 * found[1:, 0], rtol=1e-15, atol=0)
    assert scheduler.optimizer.param_groups[1]["lr"] is own
    assert scheduler.base_lrs[1] == 3.0


def test_fewer_groups_than_were_saved_are_refused() -> None:
    scheduler = EvolvedLR2(two_groups(False), total_steps=10)
    resumed = EvolvedLR2(sgd(), total_steps=10)
    resumed.load_state_dict(scheduler.state_dict())
    resumed.optimizer.step()
    with pytest.raises(InputError, match="targets for 2 parameter groups, the optimizer has 1"):
        resumed.step()


# --- in a training ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("build", [SGD, AdamW])
def test_a_small_training(build: Callable[..., Optimizer], kind: int) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(64, 5, generator=generator)
    truth = torch.linspace(-1, 1, 5)
    model = torch.nn.Linear(5, 1)
    with torch.no_grad():
        model.weight.zero_()
        model.bias.fill_(0.5)
    optimizer = build(model.parameters(), lr=0.1)
    scheduler = schedule(kind, optimizer, total_steps=150, warmup_steps=15)
    losses = []
    for _ in range(150):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(inputs).squeeze(1), inputs @ truth)
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(loss.detach().item())
    # A least-squares problem without noise: every schedule leaves a fraction of the first loss.
    assert losses[-1] < 0.1 * losses[0]
    # The first two steps: 1e-7 moves next to nothing, the rates after it do.
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [9, -1, "2", True, None, [0], 0.0])
def test_an_unknown_kind_is_refused(kind: Any) -> None:
    message = r"no evolved schedule .*; choose among 0, 1, 2, 3, 4, 5, 6, 7, 8"
    with pytest.raises(InputError, match=message):
        schedule(kind, sgd(), total_steps=10)
    with pytest.raises(InputError, match=message):
        evolved_factors(kind, 10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"total_steps": 0}, "total_steps is a whole number of at least 1, got 0"),
        ({"total_steps": True}, "total_steps is a whole number of at least 1, got True"),
        ({"total_steps": 10.0}, "total_steps is a whole number of at least 1, got 10.0"),
        ({"warmup_steps": -1}, "warmup_steps is a whole number of at least 0, got -1"),
        ({"warmup_steps": False}, "warmup_steps is a whole number of at least 0, got False"),
        ({"hold_steps": 1.5}, "hold_steps is a whole number of at least 0, got 1.5"),
        ({"warmup_steps": 6, "hold_steps": 4}, r"below total_steps, got 6 \+ 4 >= 10"),
        ({"last_epoch": -2}, "last_epoch is a whole number of at least -1, got -2"),
        ({"last_epoch": 3}, "last_epoch=3 goes on .* group 0 has no 'initial_lr': load the"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    optimizer = sgd(0.5)
    with pytest.raises(InputError, match=message):
        EvolvedLR2(optimizer, **{"total_steps": 10, **arguments})
    # Nothing has been changed by then.
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert "initial_lr" not in optimizer.param_groups[0]


@pytest.mark.parametrize("total_steps", [0, -3, 2.0, True])
def test_factors_over_no_steps_are_refused(total_steps: Any) -> None:
    with pytest.raises(InputError, match="total_steps is a whole number of at least 1"):
        evolved_factors(0, total_steps)
