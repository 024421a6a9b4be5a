"""One real training each as people train: DDP, Lightning, Accelerate, and mixed precision.

The task is scikit-learn's digits, every fifth image held out, and a small network; the optimizers
are of the zoo. Beside the accuracy, each training is compared with a plain loop of the same steps.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler
from torch.utils.data import DataLoader, TensorDataset

from evoptim import zoo

GOOD = 0.9
"""Chance is 0.1; these trainings reach 0.94 to 0.96."""
EPOCHS = 6
BATCH = 48
RATE = 0.1
"""Of Opt9."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Matrices are so small that two threads wait for each other, and roundings are the same."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def digits(dtype: torch.dtype = torch.float32) -> tuple[TensorDataset, TensorDataset]:
    """Training and held-out images."""
    pixels, labels = load_digits(return_X_y=True)
    images, classes = torch.tensor(pixels / 16, dtype=dtype), torch.tensor(labels)
    held_out = torch.arange(len(classes)) % 5 == 0
    return (
        TensorDataset(images[~held_out], classes[~held_out]),
        TensorDataset(images[held_out], classes[held_out]),
    )


def loader(dtype: torch.dtype = torch.float32, batch: int = BATCH) -> DataLoader[Any]:
    """Batches of the training images, all of one size and always in one order."""
    return DataLoader(digits(dtype)[0], batch_size=batch, drop_last=True)


def network(dtype: torch.dtype = torch.float32) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)).to(dtype)


def accuracy(model: nn.Module, dtype: torch.dtype = torch.float32) -> float:
    images, classes = digits(dtype)[1].tensors
    with torch.no_grad():
        return float((model(images).argmax(1) == classes).float().mean())


def weights_of(model: nn.Module) -> list[Tensor]:
    return [weight.detach().clone() for weight in model.parameters()]


def equal(these: list[Tensor], those: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(these, those, strict=True))


def external(optimizer: Optimizer) -> LRScheduler:
    """A scheduler of torch, to which an optimizer without ``total_steps`` leaves its rate."""
    return CosineAnnealingLR(optimizer, T_max=EPOCHS * len(loader()))


# Two processes that average their gradients.


def scheduled(model: nn.Module, steps: int) -> Optimizer:
    """Opt9 with its decay: a moving average, momentum, a schedule and a decay function."""
    return zoo.create(
        "opt9",
        model.parameters(),
        lr=RATE,
        total_steps=steps,
        warmup_steps=steps // 20,
        decay=True,
    )


def train_replica(rank: int, folder: str, processes: int) -> None:
    """Half of every batch, in float64 so that roundings cannot hide a difference."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=processes
    )
    try:
        model = nn.parallel.DistributedDataParallel(network(torch.float64))
        batches = loader(torch.float64)
        optimizer = scheduled(model, EPOCHS * len(batches))
        for _ in range(EPOCHS):
            for images, classes in batches:
                optimizer.zero_grad()
                mine = slice(rank, None, processes)
                cross_entropy(model(images[mine]), classes[mine]).backward()
                optimizer.step()
        torch.save(
            {"model": model.module.state_dict(), "optimizer": optimizer.state_dict()},
            f"{folder}/{rank}.pt",
        )
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_data_parallel_replicas_are_one(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(train_replica, (str(tmp_path), 2), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    assert all(torch.equal(first["model"][name], second["model"][name]) for name in first["model"])
    for index, state in first["optimizer"]["state"].items():
        for name, value in state.items():
            assert torch.equal(value, second["optimizer"]["state"][index][name])

    alone = network(torch.float64)
    batches = loader(torch.float64)
    optimizer = scheduled(alone, EPOCHS * len(batches))
    for _ in range(EPOCHS):
        for images, classes in batches:
            optimizer.zero_grad()
            cross_entropy(alone(images), classes).backward()
            optimizer.step()
    for name, value in alone.state_dict().items():
        # The mean of two halves rounds otherwise than that of the whole.
        assert torch.allclose(first["model"][name], value, rtol=1e-6, atol=1e-8)
    assert accuracy(alone, torch.float64) >= GOOD


# Lightning.


@pytest.fixture
def quiet_lightning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning reads where it runs from the environment; tests run on one process."""
    for name in ("SLURM_NTASKS", "LOCAL_RANK", "RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("quiet_lightning")
# Advice on loaders that would be faster with worker processes.
@pytest.mark.filterwarnings("ignore:The '.*' does not have many workers")
# Lightning's own use of what torch has deprecated.
@pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning")
def test_lightning_trains_and_resumes_exactly(tmp_path: Path) -> None:
    import pytorch_lightning as lightning

    class Classifier(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = network()

        def training_step(self, batch: Any, index: int) -> Tensor:
            images, classes = batch
            return cross_entropy(self.network(images), classes)

        def configure_optimizers(self) -> Any:
            optimizer = zoo.Opt9(self.parameters(), lr=RATE)
            schedule = {"scheduler": external(optimizer), "interval": "step"}
            return {"optimizer": optimizer, "lr_scheduler": schedule}

    def trainer(epochs: int) -> Any:
        return lightning.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
        )

    whole = Classifier()
    trainer(EPOCHS).fit(whole, loader())
    assert accuracy(whole.network) >= GOOD

    halfway = trainer(EPOCHS // 2)
    halfway.fit(Classifier(), loader())
    halfway.save_checkpoint(tmp_path / "halfway.ckpt")
    resumed = Classifier()
    trainer(EPOCHS).fit(resumed, loader(), ckpt_path=tmp_path / "halfway.ckpt")
    assert equal(weights_of(resumed), weights_of(whole))

    plain = network()
    optimizer = zoo.Opt9(plain.parameters(), lr=RATE)
    scheduler = external(optimizer)
    for _ in range(EPOCHS):
        for images, classes in loader():
            optimizer.zero_grad()
            cross_entropy(plain(images), classes).backward()
            optimizer.step()
            scheduler.step()
    assert equal(weights_of(plain), weights_of(whole))


# Accelerate.


@pytest.fixture
def fresh_accelerate() -> Iterator[None]:
    """Accelerate keeps its settings in the process and in its environment."""
    from accelerate.state import AcceleratorState, GradientState

    before = dict(os.environ)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.usefixtures("fresh_accelerate")
def test_accelerate_accumulates_gradients_and_resumes_exactly(tmp_path: Path) -> None:
    from accelerate import Accelerator

    def parts(accelerator: Accelerator) -> tuple[Any, ...]:
        model = network()
        optimizer = zoo.Opt9(model.parameters(), lr=RATE)
        batches = loader(batch=BATCH // 2)
        return tuple(accelerator.prepare(model, optimizer, batches, external(optimizer)))

    def train(accelerator: Accelerator, parts: tuple[Any, ...], epochs: int) -> None:
        model, optimizer, batches, scheduler = parts
        for _ in range(epochs):
            for images, classes in batches:
                with accelerator.accumulate(model):
                    accelerator.backward(cross_entropy(model(images), classes))
                    optimizer.step()
                    scheduler.step()
                    optimizer.zero_grad()

    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    whole = parts(accelerator)
    assert isinstance(whole[1].optimizer, zoo.Opt9)
    train(accelerator, whole, EPOCHS // 2)
    accelerator.save_state(str(tmp_path / "halfway"))
    train(accelerator, whole, EPOCHS // 2)
    assert accuracy(whole[0]) >= GOOD

    accelerator.free_memory()
    resumed = parts(accelerator)
    accelerator.load_state(str(tmp_path / "halfway"))
    train(accelerator, resumed, EPOCHS // 2)
    assert equal(weights_of(resumed[0]), weights_of(whole[0]))

    plain = network()
    optimizer = zoo.Opt9(plain.parameters(), lr=RATE)
    scheduler = external(optimizer)
    for _ in range(EPOCHS):
        for number, (images, classes) in enumerate(loader(batch=BATCH // 2)):
            (cross_entropy(plain(images), classes) / 2).backward()
            # The last batch of an epoch is stepped on, alone or not.
            if number % 2 or number + 1 == len(loader(batch=BATCH // 2)):
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()
    assert equal(weights_of(plain), weights_of(whole[0]))


# Mixed precision.


@pytest.mark.parametrize(
    ("name", "rate"), [("opt6", 1.0), ("opt9", 0.1), ("opt10", 0.5), ("adamclip0", 1.0)]
)
def test_autocast_trains(name: str, rate: float) -> None:
    """bfloat16 activations over float32 weights, with and without a scaled loss."""
    model, scaled = network(), network()
    steps = EPOCHS * len(loader())
    optimizer, other = (
        zoo.create(name, each.parameters(), lr=rate, total_steps=steps) for each in (model, scaled)
    )
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=50)
    for _ in range(EPOCHS):
        for images, classes in loader():
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                loss = cross_entropy(model(images), classes)
            loss.backward()
            optimizer.step()

            other.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                loss = cross_entropy(scaled(images), classes)
            scaler.scale(loss).backward()
            scaler.unscale_(other)
            nn.utils.clip_grad_norm_(scaled.parameters(), 10.0)
            scaler.step(other)
            scaler.update()
    assert accuracy(model) >= GOOD
    assert accuracy(scaled) >= GOOD
    assert scaler.get_scale() > 2.0**10


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_of_sixteen_bits_train(dtype: torch.dtype) -> None:
    """Small weights with float32 state, and nothing else in float32."""
    model = network(dtype)
    optimizer = zoo.Opt9(model.parameters(), lr=RATE, total_steps=EPOCHS * len(loader(dtype)))
    for _ in range(EPOCHS):
        for images, classes in loader(dtype):
            optimizer.zero_grad()
            cross_entropy(model(images), classes).backward()
            optimizer.step()
    assert all(weight.dtype == dtype for weight in model.parameters())
    assert accuracy(model, dtype) >= GOOD
