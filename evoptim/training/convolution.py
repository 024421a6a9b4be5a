"""Two ways to compute a 3x3 convolution with 'same' padding and its gradients, for one batch shape.

Both read a zero-padded buffer of N x H x W x C (channels last) that they own and that the layer
before writes into, and give rows: one for each output pixel, one column for each output channel.
Weights are K rows of 3 x 3 x C numbers.

* :class:`MatrixConvolution` unfolds the neighbourhood of every pixel into a row and multiplies
  matrices. For small layers this takes a third of a library's convolution, whose fixed costs
  (planning, reordering of weights) exceed the arithmetic.
* :class:`LibraryConvolution` calls torch's own: for large layers, where unfolded rows leave the
  caches, and for GPUs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from evoptim.tasks.model import same_padding

LARGEST_MATRIX = 2**20
"""Numbers in an unfolded batch up to which matrices are faster (benchmarks/evaluation.py)."""


@dataclass(frozen=True)
class Shape:
    """One layer at one batch size."""

    images: int
    height: int
    width: int
    channels: int
    outputs: int
    """Output channels K."""
    stride: int

    @property
    def out_height(self) -> int:
        """Rows of an output image."""
        return -(-self.height // self.stride)

    @property
    def out_width(self) -> int:
        """Columns of an output image."""
        return -(-self.width // self.stride)

    @property
    def rows(self) -> int:
        """Output pixels of the batch."""
        return self.images * self.out_height * self.out_width


class Layer(Protocol):
    """One layer's convolution; its buffers hold what the last forward pass left."""

    def forward(self, weight: Tensor, out: Tensor) -> None:
        """Write rows x K into ``out``."""

    def weight_gradient(self, gradient: Tensor, out: Tensor) -> None:
        """From the gradient of the output (rows x K) that of the weights, K x 9C."""


class Convolution(Layer, Protocol):
    """One that may follow another layer."""

    inside: Tensor
    """N x H x W x C, where the input is written: the inside of the padded buffer."""

    def input_gradient(self, gradient: Tensor, weight: Tensor) -> Tensor:
        """From the gradient of the output that of the input, N x H x W x C."""


def convolution(shape: Shape, device: torch.device, dtype: torch.dtype) -> Convolution:
    """The faster way for this shape; ``dtype`` is what products are computed in."""
    small = shape.rows * 9 * shape.channels <= LARGEST_MATRIX
    if small and device.type == "cpu" and dtype is torch.float32:
        return MatrixConvolution(shape, device)
    return LibraryConvolution(shape, device, dtype)


class Unfolded:
    """A first :class:`Layer`, whose input comes unfolded already: N x H' x W' x 3 x 3C."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._columns = torch.empty(0)

    def take(self, patches: Tensor) -> None:
        """The input of the next passes."""
        self._columns = patches.view(self._shape.rows, 9 * self._shape.channels)

    def forward(self, weight: Tensor, out: Tensor) -> None:
        """See :class:`Layer`."""
        torch.mm(self._columns, weight.t(), out=out)

    def weight_gradient(self, gradient: Tensor, out: Tensor) -> None:
        """See :class:`Layer`."""
        torch.mm(gradient.t(), self._columns, out=out)


class MatrixConvolution:
    """By unfolding; see the module."""

    def __init__(self, shape: Shape, device: torch.device) -> None:
        self._shape = shape
        padded, self.inside = _padded(shape, device, torch.float32)
        self._windows = windows(padded, shape)
        self._unfolded = torch.empty(self._windows.shape)
        self._product = Unfolded(shape)
        self._product.take(self._unfolded)
        self._fold = _Fold(shape)

    def forward(self, weight: Tensor, out: Tensor) -> None:
        """See :class:`Convolution`."""
        self._unfolded.copy_(self._windows)
        self._product.forward(weight, out)

    def weight_gradient(self, gradient: Tensor, out: Tensor) -> None:
        """See :class:`Convolution`."""
        self._product.weight_gradient(gradient, out)

    def input_gradient(self, gradient: Tensor, weight: Tensor) -> Tensor:
        """See :class:`Convolution`."""
        return self._fold(torch.mm(gradient, weight)).view(self.inside.shape)


class _Fold:
    """Sums what the windows that cover a pixel say of it; the reverse of unfolding.

    As the bags of an embedding, for which torch has a fast kernel: a bag is a pixel of the input,
    and its words are (window, place within it).
    """

    def __init__(self, shape: Shape) -> None:
        self._channels = shape.channels
        rows, inside_y = _covered(shape.height, shape.out_height, shape.stride)
        columns, inside_x = _covered(shape.width, shape.out_width, shape.stride)
        images = torch.arange(shape.images).view(-1, 1, 1, 1, 1) * (shape.height * shape.width)
        # Image x row and column of the window x row and column within it, as words are numbered.
        pixel = images + rows[:, None, :, None] * shape.width + columns[None, :, None, :]
        inside = (inside_y[:, None, :, None] & inside_x[None, :, None, :]).expand_as(pixel)
        words = inside.flatten().nonzero().flatten()
        bags = pixel.flatten()[words]
        bags, order = bags.sort(stable=True)
        self._words = words[order].int()
        counts = torch.bincount(bags, minlength=shape.images * shape.height * shape.width)
        self._starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)]).int()

    def __call__(self, columns: Tensor) -> Tensor:
        """Rows x 9C to input pixels x C."""
        summed: Tensor = torch.ops.aten._embedding_bag_forward_only(
            columns.view(-1, self._channels), self._words, self._starts,
            False, 0, False, None, True,
        )[0]  # fmt: skip
        return summed


def _covered(side: int, outputs: int, stride: int) -> tuple[Tensor, Tensor]:
    """Along one axis: the pixel at each of the 3 places of each window, and whether it is one."""
    before = same_padding(side, stride)[0]
    places = torch.arange(outputs)[:, None] * stride + torch.arange(3) - before
    return places, (places >= 0) & (places < side)


class LibraryConvolution:
    """By torch's own convolution, in channels-last memory."""

    def __init__(self, shape: Shape, device: torch.device, dtype: torch.dtype) -> None:
        self._shape, self._dtype = shape, dtype
        padded, self.inside = _padded(shape, device, dtype)
        self._images = padded.permute(0, 3, 1, 2)

    def forward(self, weight: Tensor, out: Tensor) -> None:
        """See :class:`Convolution`."""
        result = torch.conv2d(self._images, self._kernel(weight), None, [self._shape.stride] * 2)
        out.view(self._out_shape).copy_(result.permute(0, 2, 3, 1))

    def weight_gradient(self, gradient: Tensor, out: Tensor) -> None:
        """See :class:`Convolution`."""
        kernel = torch.empty(out.shape, device=out.device, dtype=self._dtype)
        result = self._backward(gradient, self._kernel(kernel), (False, True))[1]
        out.view(-1, 3, 3, self._shape.channels).copy_(result.permute(0, 2, 3, 1))

    def input_gradient(self, gradient: Tensor, weight: Tensor) -> Tensor:
        """See :class:`Convolution`."""
        result = self._backward(gradient, self._kernel(weight), (True, False))[0]
        top, left = self._before
        padded = result.permute(0, 2, 3, 1)
        return padded[:, top : top + self._shape.height, left : left + self._shape.width]

    @property
    def _out_shape(self) -> tuple[int, int, int, int]:
        shape = self._shape
        return shape.images, shape.out_height, shape.out_width, shape.outputs

    @property
    def _before(self) -> tuple[int, int]:
        shape = self._shape
        return (
            same_padding(shape.height, shape.stride)[0],
            same_padding(shape.width, shape.stride)[0],
        )

    def _kernel(self, weight: Tensor) -> Tensor:
        """K x C x 3 x 3 in channels-last memory."""
        return weight.view(-1, 3, 3, self._shape.channels).permute(0, 3, 1, 2).to(self._dtype)

    def _backward(
        self, gradient: Tensor, kernel: Tensor, wanted: tuple[bool, bool]
    ) -> tuple[Tensor, Tensor, Tensor]:
        images = gradient.view(self._out_shape).permute(0, 3, 1, 2).to(self._dtype)
        stride = [self._shape.stride] * 2
        result: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
            images, self._images, kernel, None, stride, [0, 0], [1, 1], False, [0, 0], 1,
            [*wanted, False],
        )  # fmt: skip
        return result


def _padded(shape: Shape, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """A buffer of zeros, and the part of it that holds the image."""
    top, bottom = same_padding(shape.height, shape.stride)
    left, right = same_padding(shape.width, shape.stride)
    padded = torch.zeros(
        shape.images,
        top + shape.height + bottom,
        left + shape.width + right,
        shape.channels,
        device=device,
        dtype=dtype,
    )
    return padded, padded[:, top : top + shape.height, left : left + shape.width]


def windows(padded: Tensor, shape: Shape) -> Tensor:
    """N x H' x W' x 3 x 3C: the neighbourhoods of the output pixels, without a copy."""
    image, row, column, _ = padded.stride()
    return padded.as_strided(
        (shape.images, shape.out_height, shape.out_width, 3, 3 * shape.channels),
        (image, shape.stride * row, shape.stride * column, row, 1),
    )


def unfold(images: Tensor) -> Tensor:
    """The neighbourhoods of all pixels of N x C x H x W images: N x H x W x 3 x 3C."""
    count, channels, height, width = images.shape
    shape = Shape(count, height, width, channels, 0, 1)
    padded, inside = _padded(shape, images.device, images.dtype)
    inside.copy_(images.permute(0, 2, 3, 1))
    return windows(padded, shape).contiguous()
