"""The ConvNet with its training step written out.

For networks this small, modules and autograd cost as much as the arithmetic. What is computed is
what autograd computes (tests/unit/test_training_network.py compares them); only the order of some
sums differs, and with it the last bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from evoptim.config import ModelSpec
from evoptim.tasks import ConvNet
from evoptim.tasks.model import BATCH_NORM_EPSILON, BATCH_NORM_MOMENTUM
from evoptim.training.convolution import Convolution, Layer, Shape, Unfolded, convolution
from evoptim.training.flat import FlatWeights

_aten = torch.ops.aten


@dataclass(frozen=True, eq=False)
class _Block:
    """The weights of a convolution and its batch normalisation, and where their gradients go."""

    weight: Tensor
    """K x 9C, a view of the layer's weights."""
    bias: Tensor
    scale: Tensor
    shift: Tensor
    mean: Tensor
    """The running one, as is the variance."""
    variance: Tensor
    weight_gradient: Tensor
    bias_gradient: Tensor
    scale_gradient: Tensor
    shift_gradient: Tensor


class TrainingNetwork(ConvNet):
    """A ConvNet whose weights lie in one tensor, and that computes their gradients by itself.

    Args:
        channels: of the images.
        classes: of the labels.
        model: width and dropout.
        draws: initial weights and dropout masks come from it; of the CPU.
        device: where everything lies.
        precision: what convolutions are computed in.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        model: ModelSpec,
        draws: torch.Generator,
        device: torch.device,
        precision: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(channels, classes, model.base_width, model.dropout, draws)
        self.to(device)
        self.flat = FlatWeights(self)
        gradients = {id(weight): gradient for weight, gradient in self.flat.slices}
        self._blocks = [_block(cast("nn.Sequential", each), gradients) for each in self.features]
        self._classifier_gradients = (
            gradients[id(self.classifier.weight)],
            gradients[id(self.classifier.bias)],
        )
        self._channels, self._device, self._precision = channels, device, precision
        self._passes: dict[tuple[int, ...], _Pass] = {}
        self.steps: object = None
        """What has been recorded of its training, see :mod:`evoptim.training.capture`."""

    def forward(self, images: Tensor) -> Tensor:
        """Logits; in evaluation mode images may come unfolded."""
        if self.training:
            return super().forward(images)
        return self._pass(images).inferred(images)

    @torch.no_grad()
    def learn(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Set the gradients of the mean cross-entropy, and give the logits.

        Batch normalisation takes its statistics from the batch and moves the running ones.

        Args:
            inputs: N x C x H x W, or N x H x W x 3 x 3C: unfolded, see
                :func:`evoptim.training.convolution.unfold`.
            labels: int64, N.
        """
        return self.learn_masked(inputs, labels, self.draw_mask(len(inputs)))

    def draw_mask(self, images: int) -> Tensor | None:
        """The next dropout mask: what pooled features are multiplied by; None for 1."""
        return self.dropout.mask(
            self.classifier.weight.new_empty(()).expand(images, self.classifier.in_features)
        )

    @torch.no_grad()
    def learn_masked(self, inputs: Tensor, labels: Tensor, mask: Tensor | None) -> Tensor:
        """As :meth:`learn`, under a dropout mask that was drawn before."""
        self.flat.attach()
        return self._pass(inputs).learned(inputs, labels, mask)

    @property
    def device(self) -> torch.device:
        """Where it lies."""
        return self._device

    def _pass(self, inputs: Tensor) -> _Pass:
        key = (*inputs.shape, inputs.ndim, self.training)
        if key not in self._passes:
            self._passes[key] = _Pass(self, inputs)
        return self._passes[key]


class _Pass:
    """The buffers of passes over batches of one shape.

    It keeps parts of the network rather than the network, which keeps it: a cycle would hold the
    buffers until Python looks for cycles.
    """

    def __init__(self, network: TrainingNetwork, inputs: Tensor) -> None:
        self._blocks, self._classifier = network._blocks, network.classifier
        self._classifier_gradients = network._classifier_gradients
        device, precision = network._device, network._precision
        unfolded = inputs.ndim == 5
        height, width = inputs.shape[1:3] if unfolded else inputs.shape[2:4]
        channels = network._channels
        self._shapes: list[Shape] = []
        for number, block in enumerate(network._blocks):
            outputs = len(block.bias)
            shape = Shape(len(inputs), height, width, channels, outputs, 2 if number else 1)
            self._shapes.append(shape)
            height, width, channels = shape.out_height, shape.out_width, outputs
        first, *later = self._shapes
        self._first: Unfolded | Convolution = (
            Unfolded(first) if unfolded else convolution(first, device, precision)
        )
        self._later = [convolution(each, device, precision) for each in later]
        self._layers: list[Layer] = [self._first, *self._later]
        self._rows = [torch.empty(each.rows, each.outputs, device=device) for each in self._shapes]
        last = self._shapes[-1]
        self._pixels = last.out_height * last.out_width

    def _enter(self, inputs: Tensor) -> None:
        if isinstance(self._first, Unfolded):
            self._first.take(inputs)
        else:
            self._first.inside.copy_(inputs.permute(0, 2, 3, 1))

    def _forward(self, inputs: Tensor, normalised: Callable[[int], Tensor]) -> Tensor:
        """Pooled features, N x K."""
        self._enter(inputs)
        for number in range(len(self._layers)):
            rows = normalised(number)
            if number + 1 < len(self._layers):
                inside = self._later[number].inside
                image = rows.view(inside.shape)
                if inside.dtype == image.dtype:
                    _aten.silu.out(image, out=inside)
                else:
                    inside.copy_(_aten.silu(image))
        pooled: Tensor = _aten.silu(rows).view(len(inputs), self._pixels, -1).mean(1)
        return pooled

    def inferred(self, inputs: Tensor) -> Tensor:
        """Logits by the running statistics, which are folded into the weights."""

        def normalised(number: int) -> Tensor:
            block, rows = self._blocks[number], self._rows[number]
            scale = block.scale * (block.variance + BATCH_NORM_EPSILON).rsqrt()
            shift = torch.addcmul(block.shift, block.bias - block.mean, scale)
            self._layers[number].forward(block.weight * scale[:, None], rows)
            return rows.add_(shift)

        logits: Tensor = self._classifier(self._forward(inputs, normalised))
        return logits

    def learned(self, inputs: Tensor, labels: Tensor, mask: Tensor | None) -> Tensor:
        """See :meth:`TrainingNetwork.learn`."""
        kept: list[tuple[Tensor, Tensor, Tensor]] = []

        def normalised(number: int) -> Tensor:
            block, rows = self._blocks[number], self._rows[number]
            # The bias is left out, since normalisation takes it away again.
            self._layers[number].forward(block.weight, rows)
            kept.append(
                _aten.native_batch_norm(
                    rows, block.scale, block.shift, block.mean, block.variance,
                    True, BATCH_NORM_MOMENTUM, BATCH_NORM_EPSILON,
                )
            )  # fmt: skip
            block.mean.add_(block.bias, alpha=BATCH_NORM_MOMENTUM)
            return kept[number][0]

        pooled = self._forward(inputs, normalised)
        features = pooled if mask is None else pooled * mask
        weight = self._classifier.weight
        logits = torch.addmm(self._classifier.bias, features, weight.t())

        gradient = torch.softmax(logits, 1)
        gradient.scatter_add_(1, labels[:, None], gradient.new_full((len(labels), 1), -1.0))
        gradient.div_(len(labels))
        torch.mm(gradient.t(), features, out=self._classifier_gradients[0])
        torch.sum(gradient, 0, out=self._classifier_gradients[1])
        gradient = torch.mm(gradient, weight)
        if mask is not None:
            gradient.mul_(mask)
        spread = gradient.div_(self._pixels)[:, None].expand(-1, self._pixels, -1)
        for number in reversed(range(len(self._layers))):
            spread = self._back(number, spread, kept[number])
        return logits

    def _back(self, number: int, gradient: Tensor, kept: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Through swish, normalisation and convolution: the gradient of the layer's input."""
        block, rows, layer = self._blocks[number], self._rows[number], self._layers[number]
        normalised, mean, inverse = kept
        before = torch.empty_like(rows)
        shape = gradient.shape
        _aten.silu_backward(gradient, normalised.view(shape), grad_input=before.view(shape))
        convolved, scale, shift = _aten.native_batch_norm_backward(
            before, rows, block.scale, block.mean, block.variance, mean, inverse,
            True, BATCH_NORM_EPSILON, [True, True, True],
        )  # fmt: skip
        block.scale_gradient.copy_(scale)
        block.shift_gradient.copy_(shift)
        # Zero but for rounding; what an optimizer makes of that noise is its own affair.
        torch.sum(convolved, 0, out=block.bias_gradient)
        layer.weight_gradient(convolved, block.weight_gradient)
        below: Tensor = convolved
        return self._later[number - 1].input_gradient(below, block.weight) if number else below


def _block(block: nn.Sequential, gradients: dict[int, Tensor]) -> _Block:
    convolved, normalised = block[0], block[1]
    assert isinstance(convolved, nn.Conv2d)
    assert isinstance(normalised, nn.BatchNorm2d)
    assert convolved.bias is not None
    mean, variance = normalised.running_mean, normalised.running_var
    assert mean is not None
    assert variance is not None

    def matrix(weight: Tensor) -> Tensor:
        return weight.detach().permute(0, 2, 3, 1).view(len(weight), -1)

    return _Block(
        matrix(convolved.weight),
        convolved.bias.detach(),
        normalised.weight.detach(),
        normalised.bias.detach(),
        mean,
        variance,
        matrix(gradients[id(convolved.weight)]),
        gradients[id(convolved.bias)],
        gradients[id(normalised.weight)],
        gradients[id(normalised.bias)],
    )
