"""Perceptrons side by side: forward and backward pass of all lanes at once.

Two hidden layers, each a linear map without bias, batch normalisation and swish, and a linear
classifier. The backward pass is written out: autograd's bookkeeping would cost more than the
arithmetic of networks as small as these.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

EPSILON = 1e-3
"""Of the batch normalisation, as in the paper's network."""

_normalise = torch.ops.aten.native_batch_norm.default
_normalise_backward = torch.ops.aten.native_batch_norm_backward.default
_swish_backward = torch.ops.aten.silu_backward.default


@dataclass(frozen=True)
class Batch:
    """Images and labels of one step."""

    inputs: Tensor
    """N x features, float32."""
    targets: Tensor
    """N x classes, float32: 1 at the label, else 0."""


@dataclass(frozen=True)
class Perceptrons:
    """The shapes of ``lanes`` equal networks.

    The weights of all of them, as their gradients, are one flat tensor made of blocks, one for each
    weight tensor. In a block the dimension ``lane_dims`` counts the lanes; where the same inputs go
    to all lanes, these lie side by side, so that one matrix product serves them all.
    """

    lanes: int
    features: int
    width: int
    classes: int

    @property
    def shapes(self) -> tuple[tuple[int, int, int], ...]:
        """Of each block: both layers with their scales and shifts, the classifier, its biases."""
        lanes, width = self.lanes, self.width
        row = (1, lanes, width)
        return (
            *((self.features, lanes, width), row, row),
            *((lanes, width, width), row, row),
            *((lanes, width, self.classes), (lanes, 1, self.classes)),
        )

    @property
    def lane_dims(self) -> tuple[int, ...]:
        """The dimension that counts the lanes, of each block."""
        return (1, 1, 1, 0, 1, 1, 0, 0)

    def blocks(self, flat: Tensor) -> tuple[Tensor, ...]:
        """Views of ``flat``, of the :attr:`shapes`."""
        sizes = [math.prod(shape) for shape in self.shapes]
        return tuple(
            part.view(shape)
            for part, shape in zip(torch.split(flat, sizes), self.shapes, strict=True)
        )

    def spread(self, values: Sequence[float]) -> Tensor:
        """One value for each lane, as a flat tensor in which every weight has that of its lane."""
        column = torch.tensor(values, dtype=torch.float32)
        return torch.cat(
            [
                column.view([-1 if dim == lane else 1 for dim in range(3)]).expand(shape).flatten()
                for shape, lane in zip(self.shapes, self.lane_dims, strict=True)
            ]
        )

    def initial(self, generator: torch.Generator) -> Tensor:
        """Fresh weights, the same in every lane: Glorot's uniform ones; scales 1, the rest 0."""

        def glorot(inputs: int, outputs: int) -> Tensor:
            bound = math.sqrt(6.0 / (inputs + outputs))
            return (2.0 * torch.rand(inputs, outputs, generator=generator) - 1.0) * bound

        width = self.width
        one = (
            *(glorot(self.features, width)[:, None], torch.ones(1), torch.zeros(1)),
            *(glorot(width, width), torch.ones(1), torch.zeros(1)),
            *(glorot(width, self.classes), torch.zeros(1)),
        )
        return torch.cat(
            [each.expand(shape).flatten() for each, shape in zip(one, self.shapes, strict=True)]
        )


class Pass:
    """Computes the gradient of each lane's mean cross-entropy over and over, for changing weights.

    Args:
        shapes: The networks.
        weights: Flat; read anew by every call.
    """

    def __init__(self, shapes: Perceptrons, weights: Tensor) -> None:
        first, scale, shift, second, scale2, shift2, last, self._bias = shapes.blocks(weights)
        self._shapes = shapes
        self._first = first.view(shapes.features, -1)
        self._norms = (scale.view(-1), shift.view(-1)), (scale2.view(-1), shift2.view(-1))
        self._second, self._last = second, last
        self._second_back, self._last_back = second.transpose(1, 2), last.transpose(1, 2)

    def gradient(self, batch: Batch, into: Tensor) -> Tensor:
        """Write the gradient, flat, to ``into``.

        Returns:
            The logits before the step: lanes x N x classes.
        """
        one = _Layer(batch.inputs @ self._first, self._norms[0])
        inputs = self._by_lane(one.outputs)
        two = _Layer(self._by_image(torch.bmm(inputs, self._second)), self._norms[1])
        hidden = self._by_lane(two.outputs)
        logits = torch.baddbmm(self._bias, hidden, self._last)
        error = torch.softmax(logits, -1).sub_(batch.targets).mul_(1.0 / len(batch.inputs))
        through, *norm2 = two.backward(self._by_image(torch.bmm(error, self._last_back)))
        back = self._by_lane(through)
        through, *norm1 = one.backward(self._by_image(torch.bmm(back, self._second_back)))
        parts = (
            *(batch.inputs.t() @ through, *norm1),
            *(torch.bmm(inputs.transpose(1, 2), back), *norm2),
            *(torch.bmm(hidden.transpose(1, 2), error), error.sum(1)),
        )
        torch.cat([part.view(-1) for part in parts], out=into)
        return logits

    def _by_lane(self, of: Tensor) -> Tensor:
        """N x (lanes, units) as lanes x N x units."""
        return of.view(len(of), self._shapes.lanes, -1).transpose(0, 1)

    def _by_image(self, of: Tensor) -> Tensor:
        """The inverse."""
        return of.transpose(0, 1).reshape(of.shape[1], -1)


class _Layer:
    """Batch normalisation and swish of what a linear map gave, each unit of each lane its own."""

    def __init__(self, mapped: Tensor, norm: tuple[Tensor, Tensor]) -> None:
        scale, shift = norm
        self._mapped, self._scale = mapped, scale
        self._normal, self._mean, self._inverse = _normalise(
            mapped, scale, shift, None, None, True, 0.0, EPSILON
        )
        self.outputs: Tensor = functional.silu(self._normal)

    def backward(self, error: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """From the gradient at the outputs to those at inputs, scales and shifts."""
        found: tuple[Tensor, Tensor, Tensor] = _normalise_backward(
            _swish_backward(error, self._normal),
            *(self._mapped, self._scale, None, None, self._mean, self._inverse),
            *(True, EPSILON, [True, True, True]),
        )
        return found
