"""Recorded steps: what surrounds CUDA graphs, with recordings that run on a CPU."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import tiny_training as tiny
import torch

from evoptim.config import ModelSpec, ScheduleSpec
from evoptim.optim import EvolvedOptimizer
from evoptim.training.capture import EAGER_STEPS, CapturedSteps, Record, can_capture, cuda_graph
from evoptim.training.network import TrainingNetwork
from evoptim.training.setting import Device, Setting, prepare

SCHEDULE = ScheduleSpec(total_steps=40, warmup_steps=4)
GENOME = "Nest ~ (drop(v hat, 0.1))+(tanh(g))"


def setting(device: Device = "cpu") -> Setting:
    def make(params: object, lr: float, schedule: ScheduleSpec) -> EvolvedOptimizer:
        return EvolvedOptimizer(
            params,  # type: ignore[arg-type]
            GENOME,
            lr=lr,
            total_steps=schedule.total_steps,
            warmup_steps=schedule.warmup_steps,
            capturable=True,
        )

    protocol = tiny.protocol(model=ModelSpec(base_width=4, dropout=0.3))
    return prepare(protocol, tiny.split(), make, device)


def trained(record: Record | None, device: Device = "cpu", steps: int = 14) -> torch.Tensor:
    """Weights after steps over batches of 16, 16 and 8 images."""
    torch.manual_seed(0)
    here = setting(device)
    network: TrainingNetwork = here.network(0).train()
    optimizer = here.optimizer(network, 0.05, SCHEDULE)
    batches = here.batches(0)
    captured = None if record is None else CapturedSteps(network, optimizer, record)
    for _ in range(steps):
        inputs, labels = next(batches)
        if captured is None:
            network.learn(inputs, labels)
            optimizer.step()
        else:
            assert captured(inputs, labels).shape == (len(labels), 4)
    return network.flat.whole.detach().clone()


def test_replayed_steps_are_the_steps() -> None:
    """A recording sees new images, labels and masks only through what was there when it began."""
    recorded: list[Callable[[], None]] = []

    def record(work: Callable[[], None]) -> Callable[[], None]:
        recorded.append(work)
        return work

    assert torch.equal(trained(record), trained(None))
    # One for each of the two batch sizes, after their first steps.
    assert len(recorded) == 2


def test_a_recording_that_fails_is_told_once_and_the_training_goes_on() -> None:
    def record(work: Callable[[], None]) -> Callable[[], None]:
        raise RuntimeError("operation not permitted\nwhen stream is capturing")

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        weights = trained(record)
    assert torch.equal(weights, trained(None))
    assert [str(each.message) for each in seen] == [
        "training without CUDA graphs: operation not permitted when stream is capturing"
    ]


def test_only_optimizers_that_count_on_the_gpu_are_recorded() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    assert can_capture(EvolvedOptimizer([weight], "None ~ id(g)", lr=1.0, capturable=True))
    assert not can_capture(EvolvedOptimizer([weight], "None ~ id(g)", lr=1.0))
    assert not can_capture(torch.optim.SGD([weight], lr=1.0))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_graphs_compute_the_steps() -> None:
    assert EAGER_STEPS < 14
    assert torch.equal(trained(cuda_graph, "cuda"), trained(None, "cuda"))
