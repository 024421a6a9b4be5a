"""The training loop that one would write: what evaluation.py is compared with.

torchvision-style: a DataLoader over images one by one, a module, autograd, ``loss.item()`` at every
step, one training at a time. The protocol, the network, the images' order and the sweep's rules are
ours, so that both find the same fitness; how a step is computed is shared with nothing of ours.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from evoptim.config import Protocol, ScheduleSpec
from evoptim.tasks import ConvNet, Normalisation, Split, crop_flip_cutout, normalisation
from evoptim.tasks import Dataset as Images
from evoptim.training import MakeOptimizer
from evoptim.training.epoch import Interruption
from evoptim.training.probe import NextEpoch
from evoptim.training.seeds import generator
from evoptim.training.sweep import choose_rate


class ImageDataset(Dataset[tuple[Tensor, Tensor]]):
    """One normalised image at a time."""

    def __init__(self, data: Images, normalise: Normalisation) -> None:
        self.images, self.labels = data.images, data.labels
        self.normalise = normalise

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, place: int) -> tuple[Tensor, Tensor]:
        image = self.images[place].float().sub_(self.normalise.mean).div_(self.normalise.deviation)
        return image, self.labels[place]


class PlainLoop:
    """Evaluates optimizers under one protocol."""

    def __init__(self, protocol: Protocol, split: Split) -> None:
        self.protocol, self.split = protocol, split
        normalise = normalisation(protocol.normalisation, split)
        self.train = ImageDataset(split.train, normalise)
        self.validation = ImageDataset(split.validation, normalise)

    def evaluate(self, make_optimizer: MakeOptimizer) -> float | None:
        """The fitness, or None where there is none."""
        protocol = self.protocol
        swept = choose_rate(protocol.sweep, partial(self._start_probe, make_optimizer))
        if swept.rate is None:
            return None
        best = [self._train(make_optimizer, swept.rate, seed) for seed in protocol.seeds]
        return None if None in best else math.fsum(best) / len(best)  # type: ignore[arg-type]

    def _start_probe(self, make_optimizer: MakeOptimizer, rate: float) -> NextEpoch:
        sweep = self.protocol.sweep
        network, optimizer, batches = self.begin(
            make_optimizer, rate, sweep.schedule, self.protocol.seeds[0]
        )

        def next_epoch() -> float | Interruption:
            accuracy = self.epoch(network, optimizer, batches, sweep.steps_per_epoch)
            return "non-finite" if accuracy is None else accuracy

        return next_epoch

    def _train(self, make_optimizer: MakeOptimizer, rate: float, seed: int) -> float | None:
        training = self.protocol.training
        network, optimizer, batches = self.begin(make_optimizer, rate, training.schedule, seed)
        best: float | None = None
        for epoch in range(1, training.epochs + 1):
            accuracy = self.epoch(network, optimizer, batches, training.steps_per_epoch)
            if accuracy is None:
                return best
            measured = self.measure(network)
            best = measured if best is None else max(best, measured)
            if epoch >= training.give_up_epoch and accuracy < training.give_up_accuracy:
                return best
        return best

    def begin(
        self, make_optimizer: MakeOptimizer, rate: float, schedule: ScheduleSpec, seed: int
    ) -> tuple[nn.Module, torch.optim.Optimizer, Iterator[tuple[Tensor, Tensor]]]:
        model = self.protocol.model
        network = ConvNet(
            self.split.channels,
            len(self.split.classes),
            model.base_width,
            model.dropout,
            generator(seed, "network"),
        )
        loader = DataLoader(self.train, batch_size=self.protocol.batch_size)
        batches = itertools.chain.from_iterable(itertools.repeat(loader))
        if self.protocol.augmentation == "crop-flip-cutout":
            draws = generator(seed, "augmentation")
            batches = ((crop_flip_cutout(images, draws), labels) for images, labels in batches)
        return network, make_optimizer(network.parameters(), rate, schedule), iter(batches)

    def epoch(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        batches: Iterator[tuple[Tensor, Tensor]],
        steps: int,
    ) -> float | None:
        """Accuracy over the epoch, or None as soon as the loss is not finite."""
        network.train()
        correct, seen = 0, 0
        for images, labels in itertools.islice(batches, steps):
            optimizer.zero_grad()
            logits = network(images)
            loss = functional.cross_entropy(logits, labels)
            if not math.isfinite(loss.item()):
                return None
            loss.backward()
            optimizer.step()
            correct += int((logits.argmax(1) == labels).sum().item())
            seen += len(labels)
        return correct / seen

    @torch.no_grad()
    def measure(self, network: nn.Module) -> float:
        """Accuracy on the validation images."""
        network.eval()
        correct = 0
        for images, labels in DataLoader(self.validation, batch_size=500):
            logits = network(images)
            finite = functional.cross_entropy(logits, labels, reduction="none").isfinite()
            correct += int(((logits.argmax(1) == labels) & finite).sum().item())
        return correct / len(self.validation)
