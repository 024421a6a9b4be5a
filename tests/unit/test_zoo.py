"""The zoo against a plain NumPy evaluation of its formulas, and what its doors promise."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from numpy_reference import zoo_trajectory

from evoptim import EvolvedOptimizer, zoo
from evoptim.errors import InputError
from evoptim.optim import RuleOptimizer

SCHEDULE = {"total_steps": 30, "warmup_steps": 4, "hold_steps": 3}
TWO_READINGS = ("opt1", "opt3", "opt4", "opt9", "opt10")
GENOMES = (
    "opt2", "opt7", "opt8", "adamclip1", "adamclip2", "adamclip3", "powersign", "addsign",
    "evo1", "evo2",
)  # fmt: skip


def trajectory(make: Any, gradients: np.ndarray, weight: np.ndarray, rate: float) -> np.ndarray:
    parameter = torch.nn.Parameter(torch.tensor(weight))
    optimizer = make([parameter], lr=rate, **SCHEDULE)
    rows = []
    for gradient in gradients:
        parameter.grad = torch.tensor(gradient)
        optimizer.step()
        rows.append(parameter.detach().numpy().copy())
    return np.stack(rows)


@pytest.mark.parametrize("reading", ["published", "intended"])
@pytest.mark.parametrize("decay", [False, True])
@pytest.mark.parametrize("name", zoo.names())
def test_every_optimizer_agrees_with_numpy(name: str, decay: bool, reading: str) -> None:
    if reading == "intended" and name not in TWO_READINGS:
        reading = "published"
    rng = np.random.default_rng(7)
    gradients = rng.normal(size=(30, 4, 3)) * np.array([1e-3, 0.3, 3.0])
    # Weights of the size at which the 1e-5 w terms count.
    weight = rng.normal(size=(4, 3)) * 2e4
    extra = {"reading": reading} if name in TWO_READINGS else {}
    got = trajectory(
        lambda params, **rest: zoo.create(name, params, decay=decay, **rest, **extra),
        gradients,
        weight,
        10.0,
    )
    want = zoo_trajectory(
        name, decay=decay, intended=reading == "intended", rate=10.0, warmup=4, hold=3,
        gradients=gradients, weight=weight,
    )  # fmt: skip
    travelled = np.abs(want - weight).max(axis=0)
    # Genomes divide by y + 1e-7 where the formula says y, which is at least 0.02 here.
    assert (np.abs(got - want).max(axis=0) <= 1e-5 * travelled + 1e-9).all()


@pytest.mark.parametrize("decay", [False, True])
@pytest.mark.parametrize("name", ["opt1", "opt3", "opt4", "opt9", "opt10"])
def test_the_readings_differ_where_they_are_said_to(name: str, decay: bool) -> None:
    rng = np.random.default_rng(3)
    gradients, weight = rng.normal(size=(30, 5)), rng.normal(size=5) * 2e4
    published, intended = (
        trajectory(
            lambda params, reading=reading, **rest: zoo.create(
                name, params, decay=decay, reading=reading, **rest
            ),
            gradients,
            weight,
            1.0,
        )
        for reading in ("published", "intended")
    )
    same = np.allclose(published, intended, rtol=1e-12)
    # With its decays on, Opt4's factor is there in both readings.
    assert same == (name == "opt4" and decay)


def test_names_and_classes_are_the_same_optimizers() -> None:
    assert len(zoo.names()) == 10 + 5 + 3 + 2
    for name in zoo.names():
        weights = [torch.nn.Parameter(torch.ones(2))]
        made = zoo.create(name.upper(), weights, lr=0.1, total_steps=5)
        assert type(made).__name__.lower() == name
        assert type(made) is zoo.OPTIMIZERS[name] is getattr(zoo, type(made).__name__)
        assert isinstance(made, RuleOptimizer)
        assert isinstance(made, EvolvedOptimizer) == (name in GENOMES)


@pytest.mark.parametrize("decay", [False, True])
@pytest.mark.parametrize("name", zoo.names())
def test_without_total_steps_only_what_has_no_decays_runs(name: str, decay: bool) -> None:
    has_decays = {"opt4": True} | dict.fromkeys(
        ("opt5", "opt6", "opt7", "opt8", "opt9", "opt10", "powersign", "addsign", "evo1", "evo2"),
        decay,
    )
    weight = torch.nn.Parameter(torch.ones(2))
    if has_decays.get(name, False):
        with pytest.raises(InputError, match="total_steps=None gives none: pass total_steps="):
            zoo.create(name, [weight], lr=0.1, decay=decay)
        return
    optimizer = zoo.create(name, [weight], lr=0.1, decay=decay)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    moves = []
    for _ in range(2):
        before = weight.detach().clone()
        weight.grad = torch.full((2,), 0.5)
        optimizer.step()
        scheduler.step()
        moves.append((before - weight.detach())[0].item())
    assert 0 < moves[1] < moves[0] * 1.5
    assert optimizer.param_groups[0]["lr"] == 0.025


@pytest.mark.parametrize("name", zoo.names())
def test_copies_and_pickles_continue_alike(name: str) -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = zoo.create(name, [weight], lr=0.1, total_steps=9, decay=True)

    def advance(weight: torch.Tensor, optimizer: Any) -> None:
        for _ in range(3):
            weight.grad = torch.tensor([0.5, -1.0, 2.0])
            optimizer.step()

    advance(weight, optimizer)
    clones = [
        copy.deepcopy((weight, optimizer)),
        pickle.loads(pickle.dumps((weight, optimizer))),
    ]
    advance(weight, optimizer)
    for other, clone in clones:
        advance(other, clone)
        assert torch.equal(other, weight)


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("opt11", {}, r"no optimizer 'opt11': did you mean 'opt1[0-9]?'\? choose among opt1, opt2"),
        ("", {}, "no optimizer '': choose among"),
        (None, {}, "no optimizer None"),
        ("opt4", {"variant": 2}, "variant of opt4 is 0 or 1, got 2"),
        ("opt9", {"reading": "mine"}, "reading is 'published' or 'intended', got 'mine'"),
        ("opt7", {"lr": float("nan")}, "lr is a finite rate of at least 0, got nan"),
    ],
)
def test_wrong_arguments_are_named(name: Any, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        zoo.create(
            name, [torch.nn.Parameter(torch.ones(1))], **{"lr": 1.0, "total_steps": 4, **arguments}
        )


def test_no_parameters_are_refused() -> None:
    with pytest.raises(InputError, match="nothing to optimize: params is empty"):
        zoo.Lion([], lr=0.1)


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(TypeError, match="no option momentum; choose among total_steps"):
        zoo.Lion([torch.nn.Parameter(torch.ones(1))], lr=0.1, momentum=0.9)  # type: ignore[call-arg]


def test_opt4_ends_where_the_published_program_divides_by_zero() -> None:
    weight = torch.nn.Parameter(torch.zeros(2))
    optimizer = zoo.Opt4([weight], lr=1.0, total_steps=6)
    for _ in range(5):
        weight.grad = torch.tensor([1.0, 0.0])
        optimizer.step()
    before = weight.detach().clone()
    optimizer.step()
    # The rate falls to a fifteenth of the peak, the divisor keeps its last value above 0.
    assert torch.isfinite(weight).all()
    assert 0 < (before - weight)[0] < 0.5
