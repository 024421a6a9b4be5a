"""The subjects are what the laws take them for, and the table of skips is honest."""

from __future__ import annotations

import torch
from problem import advance, weights
from subjects import (
    GENOMES,
    LAWS,
    OURS,
    RANDOM,
    SKIPS,
    SUBJECTS,
    ZOO,
    holds_for,
    inputs_of_ours,
)

from evoptim import EvolvedOptimizer, zoo
from evoptim.integrity import START, TARGET, THRESHOLD, WARMUP_STEPS
from evoptim.integrity import STEPS as INTEGRITY_STEPS


def test_the_zoo_is_there_with_and_without_decay() -> None:
    names = {subject.name for subject in ZOO}
    assert names >= set(zoo.names())
    assert {f"opt{number}-decay" for number in range(4, 11)} <= names


def test_fifty_genomes_of_many_kinds() -> None:
    assert len({subject.genome for subject in RANDOM}) == GENOMES
    assert sum(subject.stochastic for subject in RANDOM) >= 2
    assert sum(not subject.elementwise for subject in RANDOM) >= 2
    assert sum(subject.horizon for subject in RANDOM) >= 10


def test_nearly_all_subjects_stay_finite_on_the_problem_of_the_laws() -> None:
    """Where all weights are NaN, everything equals everything."""
    lost = []
    for subject in SUBJECTS:
        mine = weights()
        advance(mine, subject.build(mine), range(8))
        if not all(weight.isfinite().all() for weight in mine):
            lost.append(subject.name)
    assert len(lost) <= 5, lost


@holds_for(RANDOM)
def test_descends_on_the_sphere_as_the_integrity_check_says(subject) -> None:
    weight = torch.nn.Parameter(torch.tensor(START))
    optimizer = EvolvedOptimizer(
        [weight],
        subject.genome,
        lr=subject.rate,
        total_steps=INTEGRITY_STEPS,
        warmup_steps=WARMUP_STEPS,
    )
    for _ in range(INTEGRITY_STEPS - 1):
        optimizer.zero_grad()
        (weight - torch.tensor(TARGET)).square().sum().backward()
        optimizer.step()
    loss = (weight.detach() - torch.tensor(TARGET)).square().sum().item()
    # Dropout masks are other ones than those of the check.
    assert loss < (THRESHOLD if not subject.stochastic else 2 * THRESHOLD)


def test_the_flags_of_torch_stay_free_for_other_tests() -> None:
    assert not torch.backends.flags_frozen()


def test_argument_sets_leave_flags_that_exclude_each_other_to_the_laws() -> None:
    for each in inputs_of_ours("cpu"):
        assert not {"foreach", "fused", "differentiable"} & set(each.kwargs)


def test_skips_name_laws_and_subjects_that_exist() -> None:
    import test_compile
    import test_flags
    import test_groups
    import test_state
    import test_steps
    import test_weights

    assert all((test_compile, test_flags, test_groups, test_state, test_steps, test_weights))
    names = {subject.name for subject in OURS} | {"AdamW"}
    for law, subject in SKIPS:
        assert law in LAWS
        assert subject in names
