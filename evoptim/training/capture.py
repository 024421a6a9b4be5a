"""Whole training steps as CUDA graphs: networks this small keep a GPU waiting for launches.

The first steps of every batch shape run one launch at a time, as real steps of the training, so
that whatever is made on first use exists. Then a step is recorded and from there on repeated. If
recording fails, a warning says so and the training goes on without.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer

from evoptim.optim import RuleOptimizer
from evoptim.training.fault import guarded
from evoptim.training.network import TrainingNetwork

Replay = Callable[[], None]
Record = Callable[[Callable[[], None]], Replay]
"""Records a function's work on the GPU, without doing it, and gives what does it."""

EAGER_STEPS = 3


@dataclass(eq=False)
class _Recording:
    """The step over one batch shape: static inputs and outputs."""

    inputs: Tensor
    labels: Tensor
    mask: Tensor | None
    logits: Tensor
    eager_left: int = EAGER_STEPS
    replay: Replay | None = None


class CapturedSteps:
    """Forward pass, gradients and the optimizer's step, recorded.

    Args:
        network: to train.
        optimizer: see :func:`can_capture`.
        record: from the work to what repeats it.
    """

    def __init__(self, network: TrainingNetwork, optimizer: Optimizer, record: Record) -> None:
        self._network, self._optimizer, self._record = network, optimizer, record
        self._recordings: dict[tuple[int, ...], _Recording] = {}
        self._eager = False

    def __call__(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Take a step; gives the logits before it.

        Raises:
            CandidateError: the optimizer raised.
        """
        mask = self._network.draw_mask(len(inputs))
        held = self._held(inputs, labels, mask)
        held.inputs.copy_(inputs)
        held.labels.copy_(labels)
        if held.mask is not None and mask is not None:
            held.mask.copy_(mask)
        if held.replay is None and held.eager_left == 0 and not self._eager:
            held.replay = self._recorded(held)
        if held.replay is None:
            held.eager_left = max(0, held.eager_left - 1)
            self._step(held)
        else:
            held.replay()
        return held.logits.clone()

    def _held(self, inputs: Tensor, labels: Tensor, mask: Tensor | None) -> _Recording:
        key = tuple(inputs.shape)
        if key not in self._recordings:
            classes = self._network.classifier.out_features
            self._recordings[key] = _Recording(
                inputs.clone(),
                labels.clone(),
                None if mask is None else mask.clone(),
                inputs.new_empty(len(inputs), classes),
            )
        return self._recordings[key]

    def _step(self, held: _Recording) -> None:
        held.logits.copy_(self._network.learn_masked(held.inputs, held.labels, held.mask))
        guarded(self._optimizer.step)

    def _recorded(self, held: _Recording) -> Replay | None:
        try:
            return self._record(lambda: self._step(held))
        except Exception as error:
            # Nothing has been computed: the step can be taken one launch at a time.
            self._eager = True
            reason = " ".join(str(error).split())[:200]
            warnings.warn(f"training without CUDA graphs: {reason}", stacklevel=2)
            return None


def can_capture(optimizer: Optimizer) -> bool:
    """Whether its step may be recorded: all it counts lies on the GPU."""
    return isinstance(optimizer, RuleOptimizer) and all(
        group["capturable"] for group in optimizer.param_groups
    )


def cuda_graph(work: Callable[[], None]) -> Replay:
    """Record ``work`` as a CUDA graph.

    Raises:
        RuntimeError: something in it cannot be recorded.
    """
    graph = torch.cuda.CUDAGraph()
    torch.cuda.synchronize()
    with torch.cuda.graph(graph):
        work()
    return graph.replay
