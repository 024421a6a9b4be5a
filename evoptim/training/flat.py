"""All weights of a network in one tensor, so that an optimizer does one tensor's arithmetic.

A step of Adam on the fourteen small tensors of the ConvNet costs as much as its forward pass: not
for the arithmetic but for fourteen times the calls.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn, optim
from torch.optim.optimizer import Optimizer

from evoptim.optim import RuleOptimizer

# Of torch's own those that treat every number alike; their subclasses may do anything.
_ELEMENTWISE = frozenset({optim.SGD, optim.RMSprop, optim.Adam, optim.AdamW})


class FlatWeights:
    """The weights of ``network``, and their gradients, as slices of one tensor each.

    The network's parameters keep their shapes, values and memory formats.
    """

    def __init__(self, network: nn.Module) -> None:
        parameters = list(network.parameters())
        memory = torch.cat([_in_memory_order(each).reshape(-1) for each in parameters]).detach()
        self.whole = nn.Parameter(memory)
        self.gradient = torch.zeros_like(memory)
        self.slices: list[tuple[nn.Parameter, Tensor]] = []
        """Every parameter with its gradient."""
        start = 0
        for each in parameters:
            at = slice(start, start + each.numel())
            start = at.stop
            each.data = _shaped_as(each, memory[at])
            self.slices.append((each, _shaped_as(each, self.gradient[at])))

    def attach(self) -> None:
        """Give every parameter its gradient; an optimizer's ``zero_grad`` takes it away."""
        self.whole.grad = self.gradient
        for weight, gradient in self.slices:
            weight.grad = gradient


def is_elementwise(optimizer: Optimizer, weights: list[nn.Parameter]) -> bool:
    """Whether its step on one tensor of all the weights is the same as on each of them.

    It is not where a rule looks at a whole tensor (its norm, say), where weights are in groups, or
    where nothing is known of an optimizer.
    """
    if len(optimizer.param_groups) != 1:
        return False
    (group,) = optimizer.param_groups
    theirs = [id(each) for each in group["params"]]
    if theirs != [id(each) for each in weights]:
        return False
    if isinstance(optimizer, RuleOptimizer):
        return optimizer.tensorwise is False
    return type(optimizer) in _ELEMENTWISE


def _in_memory_order(weight: Tensor) -> Tensor:
    return weight.permute(0, 2, 3, 1) if weight.ndim == 4 else weight


def _shaped_as(weight: Tensor, memory: Tensor) -> Tensor:
    if weight.ndim != 4:
        return memory.view(weight.shape)
    outputs, channels, height, width = weight.shape
    return memory.view(outputs, height, width, channels).permute(0, 3, 1, 2)
