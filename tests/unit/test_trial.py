"""The trial: which genomes it lets through, and that it computes what it says."""

from __future__ import annotations

import math
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from evoptim.config import SamplingProbabilities, TaskSpec, TrialSpec
from evoptim.config.presets import quickstart_protocol
from evoptim.genome import Genome, GenomeError
from evoptim.sampling import sample_genome
from evoptim.tasks import load_task
from evoptim.trial import RATES, load_digits, trial
from evoptim.trial.perceptron import EPSILON, Batch, Pass, Perceptrons
from evoptim.trial.step import Step
from evoptim.trial.verdict import WINDOW
from evoptim.update import compile_genome

pytestmark = pytest.mark.usefixtures("image_cache")

NETWORKS = Perceptrons(lanes=3, features=5, width=4, classes=3)
SHORT = TrialSpec(steps=WINDOW)
_Q = "((1-0.7)*g+0.7*v hat)"


@pytest.mark.parametrize(
    "text",
    [
        "None ~ id(g)",
        "Mom ~ id(g)",
        "Nest ~ id(g)",
        "None ~ id(sign(v hat))",
        "None ~ (v hat) / (sqrt(|s hat|))",
        "None ~ (g)*(exp((sign(g))*(sign(v hat))))",
        "None ~ norm(g)",
        "None ~ drop(g, 0.5)",
        # Finals of the paper's search, with their decays.
        f"None ~ ({_Q}) / (|[deriv_tanh(a4)][exp(10-4w)]|)",
        f"None ~ tanh([max(a6, a10)][arcsinh({_Q})])",
        f"None ~ arcsinh([max(a6, a10)][arcsinh({_Q})])",
        f"Nest ~ bessel_i1e(bessel_i1e({_Q}))",
    ],
)
def test_what_is_known_to_train_passes(text: str) -> None:
    result = trial(text)
    assert result.passes, result
    assert result.rate in RATES
    assert result.steps <= TrialSpec().steps


@pytest.mark.parametrize(
    "text",
    [
        "None ~ id(1)",
        "None ~ id(10-6w)",
        "Mom ~ id(10-3w)",
        "None ~ id(g^2)",
        "None ~ |g|",
        "None ~ drop(2, 0.5)",
        # The wrong direction.
        "None ~ -(g)",
        # Overflows at the first step.
        "None ~ exp(exp(exp(exp(2))))",
    ],
)
def test_what_cannot_train_is_refused(text: str) -> None:
    result = trial(text)
    assert not result.passes, result


def test_the_verdict_needs_no_more_steps_than_it_takes() -> None:
    hopeless = trial("None ~ exp(exp(exp(exp(2))))")
    assert hopeless.steps == WINDOW
    easy = trial("None ~ id(g)", TrialSpec(threshold=0.2))
    assert easy.passes
    assert easy.steps < trial("None ~ id(g)").steps


def test_the_genomes_sign_counts() -> None:
    reversed_ = Genome.parse("None ~ -(g)").with_sign(-1)
    assert trial(reversed_) == trial("None ~ id(g)")


def test_threads_and_random_state_change_nothing() -> None:
    text = f"Nest ~ drop(norm({_Q}), 0.3)"
    torch.manual_seed(1)
    alone = trial(text)
    after = torch.rand(1)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        torch.manual_seed(1)
        assert trial(text) == alone
        assert torch.rand(1) == after
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("spec", [TaskSpec(), quickstart_protocol().task])
def test_no_image_that_the_digits_test_on_is_used(spec: TaskSpec) -> None:
    tested = {image.numpy().tobytes() for image in load_task(spec).test.images}
    assert not tested & {image.numpy().tobytes() for image in load_digits().images}


def test_a_text_that_is_no_genome_is_refused_as_such() -> None:
    with pytest.raises(GenomeError):
        trial("None ~ what(g)")


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_every_genome_gets_a_verdict(seed: int) -> None:
    result = trial(sample_genome(Random(seed), SamplingProbabilities()), SHORT)
    assert 0.0 <= result.accuracy <= 1.0
    assert result.steps == WINDOW
    assert result.passes == (result.accuracy >= SHORT.threshold)


def gradients_by_autograd(flat: torch.Tensor, batch: Batch) -> torch.Tensor:
    """One lane after the other, as anyone would write it."""
    flat = flat.clone().requires_grad_()
    blocks = NETWORKS.blocks(flat)
    loss = torch.zeros((), dtype=flat.dtype)
    for lane in range(NETWORKS.lanes):
        w1, s1, b1, w2, s2, b2, w3, b3 = (
            block.select(dim, lane).squeeze()
            for block, dim in zip(blocks, NETWORKS.lane_dims, strict=True)
        )
        hidden = batch.inputs
        for weight, scale, shift in ((w1, s1, b1), (w2, s2, b2)):
            normal = functional.batch_norm(
                hidden @ weight, None, None, scale, shift, training=True, eps=EPSILON
            )
            hidden = functional.silu(normal)
        loss = loss + functional.cross_entropy(hidden @ w3 + b3, batch.targets.argmax(-1))
    return torch.autograd.grad(loss, flat)[0]


def some_batch(dtype: torch.dtype = torch.float64) -> Batch:
    draw = torch.Generator().manual_seed(3)
    labels = torch.randint(NETWORKS.classes, (7,), generator=draw)
    return Batch(
        torch.randn(7, NETWORKS.features, generator=draw, dtype=dtype),
        functional.one_hot(labels, NETWORKS.classes).to(dtype),
    )


def some_weights() -> torch.Tensor:
    draw = torch.Generator().manual_seed(4)
    initial = NETWORKS.initial(draw).double()
    return initial + 0.3 * torch.randn(initial.shape, generator=draw, dtype=torch.float64)


def test_the_backward_pass_is_that_of_autograd() -> None:
    weights, batch = some_weights(), some_batch()
    found = torch.empty_like(weights)
    Pass(NETWORKS, weights).gradient(batch, found)
    torch.testing.assert_close(found, gradients_by_autograd(weights, batch))


def test_a_lane_that_is_lost_does_not_touch_the_others() -> None:
    weights, batch = some_weights(), some_batch()
    found, damaged = torch.empty_like(weights), torch.empty_like(weights)
    Pass(NETWORKS, weights).gradient(batch, found)
    for block, dim in zip(NETWORKS.blocks(weights), NETWORKS.lane_dims, strict=True):
        block.select(dim, 1).fill_(math.nan)
    Pass(NETWORKS, weights).gradient(batch, damaged)
    lanes = NETWORKS.spread([0.0, 1.0, 2.0])
    assert torch.equal(found[lanes != 1.0], damaged[lanes != 1.0])
    assert damaged[lanes == 1.0].isnan().all()


def moved(text: str, gradient: torch.Tensor, steps: int = 4) -> torch.Tensor:
    """Weights after two steps from 0; the first one's rate is that of the warm-up's start: 0."""
    weights = torch.zeros_like(gradient)
    step = Step(compile_genome(Genome.parse(text)), NETWORKS, weights, (1.0, 2.0, 3.0), steps)
    for number in range(2):
        step(number, gradient)
    return weights


def test_a_norm_is_that_of_one_weight_tensor_in_one_lane() -> None:
    gradient = some_weights().float()
    for block, was, dim in zip(
        NETWORKS.blocks(moved("None ~ norm(g)", gradient)),
        NETWORKS.blocks(gradient),
        NETWORKS.lane_dims,
        strict=True,
    ):
        for lane, rate in enumerate((1.0, 2.0, 3.0)):
            one = was.select(dim, lane)
            expected = -0.25 * rate * one / max(1.0, one.norm().item())
            torch.testing.assert_close(block.select(dim, lane), expected)


def test_momentum_and_decays_follow_the_training_that_the_trial_stands_for() -> None:
    gradient = torch.ones_like(some_weights(), dtype=torch.float32)
    # Step 1 of 4 stands for step 200 of 16,000, where a1 = 1 - t/T.
    assert moved("None ~ id([id(a1)][g])", gradient)[0].item() == pytest.approx(
        -0.25 * (1 - 200 / 16_000)
    )


def test_the_lanes_begin_alike() -> None:
    for block, dim in zip(
        NETWORKS.blocks(NETWORKS.initial(torch.Generator().manual_seed(0))),
        NETWORKS.lane_dims,
        strict=True,
    ):
        assert torch.equal(block, block.select(dim, 0).unsqueeze(dim).expand(block.shape))
