"""One epoch: the order of images, its metrics, and when it ends early."""

from __future__ import annotations

from itertools import islice

import pytest
import tiny_training as tiny
import torch
from torch import nn
from torch.nn import functional

from evoptim.config import Tuning
from evoptim.tasks import Dataset
from evoptim.training.batches import repeated_places
from evoptim.training.epoch import Metrics, measure, train_epoch
from evoptim.training.fault import CandidateError
from evoptim.training.inputs import Inputs
from evoptim.training.meter import Meter


def test_passes_repeat_without_shuffling_and_end_short() -> None:
    """The paper's 45,000 images in batches of 128: 351 whole ones and one of 72."""
    images = torch.zeros(45_000, 1, 1, 1, dtype=torch.uint8)
    data = inputs_of(images, torch.arange(45_000))
    starts = islice(repeated_places(45_000, 128), 353)
    seen = [data.batch(start, 128)[1] for start in starts]
    assert [len(labels) for labels in seen] == [128] * 351 + [72, 128]
    assert torch.equal(torch.cat(seen[:-1]), torch.arange(45_000))
    assert torch.equal(seen[-1], torch.arange(128))


def inputs_of(images: torch.Tensor, labels: torch.Tensor) -> Inputs:
    """Pixels as they are, as float32."""
    return Inputs(Dataset(images, labels), lambda pixels: pixels.float(), 128, unfolded=False)  # type: ignore[arg-type]


class Linear(nn.Module):
    """Shares of the pixels as logits: what it computes can be written down."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(2))
        self.modes: list[bool] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.modes.append(self.training)
        return images.flatten(1) @ self.weight


INPUTS = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 1.0], [0.0, 4.0], [1.0, 5.0]]).view(5, 1, 1, 2)
LABELS = torch.tensor([0, 0, 0, 0, 1])


def meter() -> Meter:
    return Meter(tiny.protocol(), None)


def test_metrics_are_means_over_images_not_over_batches() -> None:
    network = Linear()
    batches = iter([(INPUTS[:4], LABELS[:4]), (INPUTS[4:], LABELS[4:])])
    still = torch.optim.SGD(network.parameters(), lr=0.0)
    run = train_epoch(network, still, batches, 2, meter())
    assert isinstance(run, Metrics)
    assert run.accuracy == 3 / 5  # 2 of 4 and 1 of 1: the mean over batches would be 3/4
    expected = functional.cross_entropy(INPUTS.flatten(1), LABELS)
    assert run.loss == pytest.approx(expected.item(), rel=1e-6)
    assert network.modes == [True, True]


def test_metrics_are_those_before_each_step() -> None:
    network = Linear()
    ruin = tiny.Scripted(network.parameters(), 0.0, 1, tiny.poison)
    batches = iter([(INPUTS, LABELS)] * 2)
    assert isinstance(train_epoch(network, ruin, batches, 2, meter()), Metrics)
    assert network.weight.isnan().all()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("at", [0, 7, 18])
def test_a_loss_that_is_not_finite_ends_the_epoch(value: float, at: int) -> None:
    network, counted = Linear(), meter()
    inputs = [INPUTS.clone() for _ in range(20)]
    inputs[at][0, 0, 0, 1] = value
    batches = iter([(images, LABELS) for images in inputs])
    still = torch.optim.SGD(network.parameters(), lr=0.0)
    assert train_epoch(network, still, batches, 20, counted) == "non-finite"
    # It looks after every tenth step.
    assert counted.steps == (at // 10 + 1) * 10


def test_steps_and_progress_are_counted() -> None:
    seen: list[tuple[int, int]] = []
    protocol = tiny.protocol(seeds=(0, 1))
    counted = Meter(protocol, lambda done, most: seen.append((done, most)))
    network = Linear()
    still = torch.optim.SGD(network.parameters(), lr=0.0)
    batches = iter([(INPUTS, LABELS)] * 7)
    train_epoch(network, still, batches, 5, counted)
    train_epoch(network, still, batches, 2, counted)
    assert protocol.most_steps == 2 * 2 * 6 + 2 * 3 * 10 == 84
    assert seen == [(5, 84), (7, 84)]
    # At most three rates under two seeds more.
    tuned = tiny.protocol(seeds=(0, 1), tuning=Tuning(rates=3, seeds=(8, 9)))
    assert tuned.most_steps == 84 + 3 * 2 * 3 * 10


def test_what_an_optimizer_raises_is_the_candidates_fault() -> None:
    network = Linear()
    optimizer = tiny.Scripted(
        network.parameters(), 0.0, 1, tiny.raising(RuntimeError("shapes\n  differ"))
    )
    with pytest.raises(CandidateError, match=r"^RuntimeError: shapes differ$"):
        train_epoch(network, optimizer, iter([(INPUTS, LABELS)] * 3), 3, meter())


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError("disk"),
        KeyboardInterrupt(),
        torch.cuda.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_the_machine_is_to_blame_for_passes_through(error: BaseException) -> None:
    network = Linear()
    optimizer = tiny.Scripted(network.parameters(), 0.0, 0, tiny.raising(error))
    with pytest.raises(type(error)) as caught:
        train_epoch(network, optimizer, iter([(INPUTS, LABELS)]), 1, meter())
    assert caught.value is error


class TestMeasure:
    def test_it_covers_all_images_in_evaluation_mode(self) -> None:
        network = Linear()
        images = torch.tensor([[200, 0], [0, 9]], dtype=torch.uint8).repeat(600, 1)
        data = inputs_of(images.view(1200, 1, 1, 2), torch.tensor([0, 0]).repeat(600))
        assert measure(network, data).accuracy == 0.5
        assert set(network.modes) == {False}
        assert not network.weight.grad

    def test_an_image_without_a_finite_loss_is_not_correct(self) -> None:
        network = Linear()
        with torch.no_grad():
            network.weight.fill_(float("nan"))
        images = torch.ones(4, 1, 1, 2, dtype=torch.uint8)
        metrics = measure(network, inputs_of(images, torch.zeros(4, dtype=torch.int64)))
        assert metrics.accuracy == 0.0
        assert metrics.loss != metrics.loss
