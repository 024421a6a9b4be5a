"""The written-out step computes what modules, autograd and an optimizer on every tensor compute."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

import pytest
import tiny_training as tiny
import torch
from plain_loop import PlainLoop
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.optimizer import Optimizer

from evoptim.config import ModelSpec, SamplingProbabilities, ScheduleSpec
from evoptim.genome import Genome
from evoptim.integrity import check_integrity
from evoptim.optim.baselines import BASELINES, make_baseline
from evoptim.sampling import sample_genome
from evoptim.steps.evaluate import make_evolved
from evoptim.tasks import ConvNet
from evoptim.tasks.model import same_padding
from evoptim.training.convolution import (
    LibraryConvolution,
    MatrixConvolution,
    Shape,
    unfold,
)
from evoptim.training.epoch import Metrics, train_epoch
from evoptim.training.flat import is_elementwise
from evoptim.training.meter import Meter
from evoptim.training.network import TrainingNetwork
from evoptim.training.setting import prepare

CPU = torch.device("cpu")
SCHEDULE = ScheduleSpec(total_steps=30, warmup_steps=3)
Build = Callable[..., Optimizer]


def drawing(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def networks(channels: int = 1, width: int = 2) -> tuple[TrainingNetwork, ConvNet]:
    """Ours, and the plain one that it must agree with."""
    model = ModelSpec(base_width=width)
    ours = TrainingNetwork(channels, 4, model, drawing(1), CPU)
    return ours, ConvNet(channels, 4, model.base_width, model.dropout, drawing(1))


def batch(count: int, channels: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    images = torch.randn(count, channels, height, width, generator=drawing(2))
    return images, torch.randint(4, (count,), generator=drawing(3))


def evolved(genome: str) -> Build:
    return partial(make_evolved, Genome.parse(genome).to_json())


# Even and odd sides, one pixel a side, one colour and three, and layers of the library as well:
# the largest exceeds LARGEST_MATRIX in its second layer.
SIZES = [(16, 1, 8, 8), (5, 3, 16, 16), (3, 1, 7, 9), (4, 3, 2, 3), (9, 2, 9, 14), (96, 3, 30, 31)]


class TestGradients:
    @pytest.mark.parametrize("size", SIZES, ids=str)
    @pytest.mark.parametrize("unfolded", [False, True])
    def test_they_are_those_of_autograd(
        self, size: tuple[int, int, int, int], unfolded: bool
    ) -> None:
        ours, plain = networks(size[1], width=8)
        ours.train()
        images, labels = batch(*size)
        for _ in range(2):
            expected = plain(images)
            plain.zero_grad()
            functional.cross_entropy(expected, labels).backward()
            found = ours.learn(unfold(images) if unfolded else images, labels)
            # Float32: sums of up to 10^5 numbers in another order.
            assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5)
            for (name, theirs), weight in zip(
                plain.named_parameters(), ours.parameters(), strict=True
            ):
                assert weight.shape == theirs.shape
                assert theirs.grad is not None
                scale = max(1.0, theirs.grad.abs().max().item())
                assert torch.allclose(weight.grad, theirs.grad, rtol=1e-3, atol=2e-5 * scale), name

    def test_running_statistics_are_those_of_the_module(self) -> None:
        ours, plain = networks(3)
        ours.train()
        with torch.no_grad():
            for network in (ours, plain):
                for block in network.features:
                    block[0].bias += 0.7  # the step leaves the bias out, the statistics must not
        images, labels = batch(16, 3, 8, 8)
        for _ in range(5):
            plain(images)
            ours.learn(images, labels)
        for (name, theirs), mine in zip(plain.named_buffers(), ours.buffers(), strict=True):
            if "num_batches" not in name:
                assert torch.allclose(mine, theirs, rtol=1e-5, atol=1e-6), name

    @pytest.mark.parametrize("size", SIZES, ids=str)
    def test_evaluation_is_that_of_the_module(self, size: tuple[int, int, int, int]) -> None:
        ours, plain = networks(size[1])
        with torch.no_grad():
            for network in (ours, plain):
                for each in [*network.parameters(), *network.buffers()]:
                    if each.is_floating_point():
                        each.add_(0.3)
        images, _ = batch(*size)
        ours.eval()
        plain.eval()
        with torch.inference_mode():
            expected = plain(images)
            assert torch.allclose(ours(images), expected, rtol=1e-4, atol=1e-5)
            assert torch.allclose(ours(unfold(images)), expected, rtol=1e-4, atol=1e-5)

    def test_infinite_inputs_are_no_finite_loss(self) -> None:
        ours, _ = networks()
        ours.train()
        images, labels = batch(4, 1, 8, 8)
        images[0] = float("inf")
        assert not ours.learn(images, labels).isfinite().all()


class TestConvolutions:
    """Both ways against torch's convolution in double precision."""

    @pytest.mark.parametrize("stride", [1, 2])
    @pytest.mark.parametrize("sides", [(8, 8), (7, 5), (1, 2), (2, 1), (6, 9)])
    @pytest.mark.parametrize("kind", [MatrixConvolution, partial(LibraryConvolution)])
    def test_they_agree_with_it(self, kind: Any, sides: tuple[int, int], stride: int) -> None:
        shape = Shape(3, *sides, 2, 4, stride)
        layer = kind(shape, CPU) if kind is MatrixConvolution else kind(shape, CPU, torch.float32)
        images = torch.randn(3, 2, *sides, generator=drawing(0)).double().requires_grad_()
        kernel = torch.randn(4, 2, 3, 3, generator=drawing(1)).double().requires_grad_()
        reference = nn.Conv2d(2, 4, 3, stride).double()
        top, bottom = same_padding(sides[0], stride)
        left, right = same_padding(sides[1], stride)
        expected = functional.conv2d(
            functional.pad(images, (left, right, top, bottom)), kernel, None, reference.stride
        )
        sent = torch.randn(expected.shape, generator=drawing(2)).double()
        expected.backward(sent)

        rows = kernel.detach().float().permute(0, 2, 3, 1).reshape(4, 18)
        gradient = sent.float().permute(0, 2, 3, 1).reshape(shape.rows, 4)
        out, weight_gradient = torch.empty(shape.rows, 4), torch.empty(4, 18)
        layer.inside.copy_(images.detach().permute(0, 2, 3, 1))
        layer.forward(rows, out)
        layer.weight_gradient(gradient, weight_gradient)
        found = layer.input_gradient(gradient, rows)
        assert torch.allclose(
            out.double(), expected.detach().permute(0, 2, 3, 1).reshape(-1, 4), atol=1e-5
        )
        assert kernel.grad is not None
        assert torch.allclose(
            weight_gradient.view(4, 3, 3, 2).permute(0, 3, 1, 2).double(), kernel.grad, atol=1e-4
        )
        assert images.grad is not None
        assert torch.allclose(found.permute(0, 3, 1, 2).double(), images.grad, atol=1e-5)

    def test_half_precision_is_close_to_the_whole(self) -> None:
        model = ModelSpec(base_width=8)
        whole = TrainingNetwork(3, 4, model, drawing(1), CPU).train()
        half = TrainingNetwork(3, 4, model, drawing(1), CPU, torch.bfloat16).train()
        images, labels = batch(16, 3, 16, 16)
        # Eight bits of mantissa.
        assert torch.allclose(half.learn(images, labels), whole.learn(images, labels), atol=0.1)
        assert half.flat.gradient.dtype is torch.float32
        error = (half.flat.gradient - whole.flat.gradient).norm() / whole.flat.gradient.norm()
        assert 0 < error < 0.1


class TestFlatWeights:
    def test_parameters_keep_values_shapes_and_names(self) -> None:
        ours, plain = networks(3)
        assert [name for name, _ in ours.named_parameters()] == [
            name for name, _ in plain.named_parameters()
        ]
        for mine, theirs in zip(ours.parameters(), plain.parameters(), strict=True):
            assert torch.equal(mine, theirs)

    def test_changing_the_whole_changes_every_weight_and_the_reverse(self) -> None:
        ours, _ = networks(3)
        with torch.no_grad():
            ours.flat.whole.fill_(2.0)
            assert all((weight == 2.0).all() for weight in ours.parameters())
            for weight in ours.parameters():
                weight.fill_(3.0)
        assert (ours.flat.whole == 3.0).all()

    def test_a_saved_state_comes_back(self) -> None:
        ours, _ = networks(3)
        saved = {name: value.clone() for name, value in ours.state_dict().items()}
        before = ours.flat.whole.detach().clone()
        with torch.no_grad():
            ours.flat.whole.zero_()
        ours.load_state_dict(saved)
        assert torch.equal(ours.flat.whole, before)


class TestWhichOptimizersAreElementwise:
    def build(self, make: Build) -> bool:
        network = ConvNet(1, 4, 2, 0.0, drawing())
        weights = list(network.parameters())
        return is_elementwise(make(weights, 0.1, SCHEDULE), weights)

    @pytest.mark.parametrize("name", BASELINES)
    def test_baselines_are(self, name: str) -> None:
        assert self.build(partial(make_baseline, name))

    @pytest.mark.parametrize("genome", ["None ~ id(g)", "Nest ~ id(arcsinh(v hat))"])
    def test_genomes_are(self, genome: str) -> None:
        assert self.build(evolved(genome))

    def test_a_norm_is_not(self) -> None:
        assert not self.build(evolved(NORM))

    def test_groups_subsets_and_strangers_are_not(self) -> None:
        def groups(weights: Any, lr: float, _: object) -> Optimizer:
            return torch.optim.SGD([{"params": weights[:3]}, {"params": weights[3:]}], lr=lr)

        assert not self.build(groups)
        assert not self.build(lambda weights, lr, _: torch.optim.SGD(weights[1:], lr=lr))
        assert not self.build(lambda weights, lr, _: tiny.Scripted(weights, lr, 0, tiny.poison))
        assert not self.build(lambda weights, lr, _: torch.optim.LBFGS(weights, lr=lr))


def random_genomes(count: int) -> list[Genome]:
    found: list[Genome] = []
    rng = Random(7)
    while len(found) < count:
        genome = sample_genome(rng, SamplingProbabilities())
        integrity = check_integrity(genome)
        if integrity.passes:
            found.append(genome.with_sign(integrity.sign))
    return found


NORM = "Mom ~ id(norm(g))"
SEARCHED = [
    "None ~ id(g)",
    "Nest ~ id(arcsinh(v hat))",
    "Mom ~ id([id(a2)][v hat])",
    "Mom ~ id(lam hat)",
    NORM,
    "Nest ~ (norm(v hat))+(tanh(g))",
    *(str(genome) for genome in random_genomes(20)),
]


def both_ways(make: Build, steps: int = 8) -> tuple[list[Tensor], list[Tensor]]:
    """Weights after the same gradients: as the setting has it, and tensor by tensor."""
    protocol = tiny.protocol(model=ModelSpec(base_width=4))
    setting = prepare(protocol, tiny.split(), make, "cpu")
    ours, plain = setting.network(0), setting.network(0)
    flat = setting.optimizer(ours, 0.01, SCHEDULE)
    weights = list(plain.parameters())
    apart = make(weights, 0.01, SCHEDULE)
    draws = drawing(5)
    for _ in range(steps):
        ours.flat.attach()
        for mine, theirs in zip(ours.parameters(), weights, strict=True):
            gradient = torch.randn(theirs.shape, generator=draws)
            theirs.grad = gradient.clone()
            assert mine.grad is not None
            mine.grad.copy_(gradient)
        flat.step()
        apart.step()
    return [each.detach() for each in ours.parameters()], [each.detach() for each in weights]


class TestOptimizersOnAllWeightsAtOnce:
    @pytest.mark.parametrize("name", BASELINES)
    def test_baselines_move_the_weights_to_the_same_bits(self, name: str) -> None:
        """Their functions (products, roots) are exact to the last bit in vectors and alone."""
        for mine, theirs in zip(*both_ways(partial(make_baseline, name)), strict=True):
            assert torch.equal(mine, theirs)

    @pytest.mark.parametrize(
        "genome", [each for each in dict.fromkeys(SEARCHED) if "drop" not in each]
    )
    def test_genomes_move_them_the_same_way(self, genome: str) -> None:
        for mine, theirs in zip(*both_ways(evolved(genome)), strict=True):
            # exp, tanh and the like differ in their last bit between vectors and rests of vectors.
            assert torch.allclose(mine, theirs, rtol=1e-4, atol=1e-6, equal_nan=True)

    def test_where_a_norm_counts_every_tensor_has_its_own(self) -> None:
        setting = prepare(tiny.protocol(), tiny.split(), evolved(NORM), "cpu")
        network = setting.network(0)
        optimizer = setting.optimizer(network, 0.1, SCHEDULE)
        weights = list(network.parameters())
        assert [id(each) for each in optimizer.param_groups[0]["params"]] == [*map(id, weights)]

    def test_dropped_updates_are_as_many_and_the_same_at_every_run(self) -> None:
        def moved() -> Tensor:
            protocol = tiny.protocol(model=ModelSpec(base_width=16))
            setting = prepare(protocol, tiny.split(), evolved("None ~ drop(id(g), 0.3)"), "cpu")
            network = setting.network(0)
            optimizer = setting.optimizer(network, 0.1, ScheduleSpec(total_steps=9))
            assert len(optimizer.param_groups[0]["params"]) == 1
            before = network.flat.whole.detach().clone()
            network.flat.attach()
            network.flat.gradient.fill_(1.0)
            optimizer.step()
            return network.flat.whole.detach() != before

        first, second = moved(), moved()
        assert torch.equal(first, second)
        share = first.double().mean().item()
        # Five standard deviations.
        assert share == pytest.approx(0.7, abs=5 * (0.21 / first.numel()) ** 0.5)


@pytest.mark.parametrize("make", [partial(make_baseline, "momentum"), evolved("Mom ~ id(tanh(g))")])
@pytest.mark.parametrize("augmentation", ["none", "crop-flip-cutout"])
def test_epochs_agree_with_the_loop_that_one_would_write(make: Build, augmentation: str) -> None:
    protocol = tiny.protocol(model=ModelSpec(base_width=8), augmentation=augmentation)
    split = tiny.split()
    setting = prepare(protocol, split, make, "cpu")
    network = setting.network(0)
    run = train_epoch(
        network,
        setting.optimizer(network, 0.1, SCHEDULE),
        setting.batches(0),
        9,
        Meter(protocol, None),
    )
    loop = PlainLoop(protocol, split)
    plain, optimizer, batches = loop.begin(make, 0.1, SCHEDULE, 0)
    accuracy = loop.epoch(plain, optimizer, batches, 9)
    assert isinstance(run, Metrics)
    assert run.accuracy == accuracy
    for (name, mine), theirs in zip(network.named_parameters(), plain.parameters(), strict=True):
        # Nine steps carry rounding on.
        assert torch.allclose(mine, theirs, rtol=1e-3, atol=1e-4), name


def test_an_optimizer_that_clears_gradients_gets_them_again() -> None:
    class Clearing(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            result = super().step(closure)
            self.zero_grad()
            return result

    protocol = tiny.protocol()
    weights = []
    for kind in (Clearing, torch.optim.SGD):
        setting = prepare(
            protocol, tiny.split(), lambda params, lr, _, kind=kind: kind(params, lr=lr), "cpu"
        )
        network = setting.network(0)
        optimizer = setting.optimizer(network, 0.1, SCHEDULE)
        train_epoch(network, optimizer, setting.batches(0), 4, Meter(protocol, None))
        weights.append(network.flat.whole.detach())
    assert torch.equal(*weights)


def test_a_network_that_is_dropped_takes_its_buffers_with_it() -> None:
    network = TrainingNetwork(1, 4, ModelSpec(base_width=2), torch.Generator(), torch.device("cpu"))
    network.learn(torch.zeros(3, 1, 8, 8), torch.zeros(3, dtype=torch.int64))
    dropped = weakref.ref(network)
    gc.disable()
    try:
        del network
        assert dropped() is None, "something refers to it in a circle"
    finally:
        gc.enable()
