"""The paper's ConvNet, with the details of the Keras model that it was.

Source: Morgan & Hougen, arXiv 2404.06679. Shapes: N images, C channels, H x W pixels, K classes,
b the base width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# Keras counts how much of the old average stays (0.99), torch how much of the new one enters.
BATCH_NORM_MOMENTUM = 1 - 0.99
BATCH_NORM_EPSILON = 1e-3


class ConvNet(nn.Module):
    """Three 3x3 convolutions of b, 2b and 4b channels (strides 1, 2, 2) and a classifier.

    Each is followed by batch normalisation and swish; then come the global average over all
    pixels, dropout, and a linear layer. For C = 3 and K = 10 it has 94,986 parameters at b = 32
    and 211,594 at b = 48.

    Args:
        channels: C.
        classes: K.
        base_width: b.
        dropout: probability that a feature is dropped.
        generator: draws the initial weights, and from then on the dropout masks. A CPU generator.
            The global random state is neither used nor changed.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        base_width: int,
        dropout: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        widths = (channels, base_width, 2 * base_width, 4 * base_width)
        # torch's layers draw weights of their own, which are overwritten below.
        with torch.random.fork_rng(devices=[]):
            self.features = nn.Sequential(
                _block(widths[0], widths[1], stride=1),
                _block(widths[1], widths[2], stride=2),
                _block(widths[2], widths[3], stride=2),
            )
            self.dropout = Dropout(dropout, generator)
            self.classifier = nn.Linear(widths[3], classes)
        self._initialise(generator)

    def _initialise(self, generator: torch.Generator) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight, generator=generator)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """N x C x H x W, float32, to N x K logits."""
        pooled = self.features(images).mean(dim=(2, 3))
        logits: Tensor = self.classifier(self.dropout(pooled))
        return logits


def _block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        SameConv(inputs, outputs, kernel_size=3, stride=stride),
        nn.BatchNorm2d(outputs, eps=BATCH_NORM_EPSILON, momentum=BATCH_NORM_MOMENTUM),
        nn.SiLU(),
    )


class SameConv(nn.Conv2d):
    """A 3x3 convolution with TensorFlow's 'same' padding.

    It pads just enough for ceil(side / stride) outputs, half of it (rounded down) before the image:
    with stride 2 nothing before and one pixel after an even side, one on each end of an odd side.
    """

    def forward(self, input: Tensor) -> Tensor:  # torch's name for it
        """N x C x H x W to N x C' x ceil(H / stride) x ceil(W / stride)."""
        height = same_padding(input.shape[2], self.stride[0])
        width = same_padding(input.shape[3], self.stride[1])
        if height[0] == height[1] and width[0] == width[1]:
            symmetric = (height[0], width[0])
            return functional.conv2d(input, self.weight, self.bias, self.stride, symmetric)
        padded = functional.pad(input, (*width, *height))
        return functional.conv2d(padded, self.weight, self.bias, self.stride)


def same_padding(side: int, stride: int, kernel: int = 3) -> tuple[int, int]:
    """Pixels that TensorFlow's 'same' padding adds before and after a side."""
    outputs = -(-side // stride)
    total = max((outputs - 1) * stride + kernel - side, 0)
    return total // 2, total - total // 2


class Dropout(nn.Module):
    """Dropout from a generator of its own: what an optimizer draws cannot change the masks."""

    def __init__(self, probability: float, generator: torch.Generator) -> None:
        super().__init__()
        self.probability = probability
        self._generator = generator

    def forward(self, features: Tensor) -> Tensor:
        """In training, zero each element with the probability and scale up the others."""
        mask = self.mask(features) if self.training else None
        return features if mask is None else features * mask

    def mask(self, like: Tensor) -> Tensor | None:
        """What the next features of that shape are multiplied by in training; None for 1."""
        if self.probability == 0.0:
            return None
        kept = 1.0 - self.probability
        mask = torch.empty(like.shape).bernoulli_(kept, generator=self._generator)
        return mask.div_(kept).to(like.device)
