"""The arithmetic of one training step of the ConvNet, counted rather than measured."""

from __future__ import annotations

from evoptim.config import Protocol

BACKWARD = 2
"""A backward pass takes about two forward passes: one for gradients of the inputs of every layer,
one for those of its weights."""


def step_flops(protocol: Protocol, shape: tuple[int, int, int], classes: int) -> float:
    """Floating-point operations of one step: forward and backward pass over a batch.

    Counted are the convolutions and the classifier, a multiplication and an addition each; left out
    are normalisation, activations, augmentation, validation and the optimizer's own arithmetic,
    which are a few percent together at the paper's sizes.

    Args:
        protocol: model and batch size.
        shape: channels, height and width of an image.
        classes: how many there are.
    """
    channels, height, width = shape
    base = protocol.model.base_width
    forward = 0
    for outputs, stride in ((base, 1), (2 * base, 2), (4 * base, 2)):
        height, width = -(-height // stride), -(-width // stride)
        forward += 2 * 3 * 3 * channels * outputs * height * width
        channels = outputs
    forward += 2 * channels * classes
    return float((1 + BACKWARD) * forward * protocol.batch_size)
