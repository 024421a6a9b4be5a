"""What an evaluation has spent, and whether it may go on."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from evoptim.config import Protocol

Progress = Callable[[int, int], None]
"""Called with the steps taken so far and the most that the evaluation can take."""


class Meter:
    """Counts steps and seconds of one evaluation; the one thing in it that keeps changing."""

    def __init__(self, protocol: Protocol, progress: Progress | None) -> None:
        self.steps = 0
        self._started, self._started_core = time.monotonic(), time.thread_time()
        self._limit = protocol.timeout_seconds
        self._progress = progress
        self._most = protocol.most_steps

    def report(self) -> None:
        """Tell whoever watches."""
        if self._progress is not None:
            self._progress(self.steps, self._most)

    @property
    def seconds(self) -> float:
        """Wall-clock time since the start."""
        return time.monotonic() - self._started

    def cost(self, device: torch.device) -> float:
        """Core-seconds of this thread on a CPU, whatever else the machine does; seconds on a GPU.

        An evaluation computes in one thread, see :func:`evoptim.training.isolation.isolated`.
        """
        return time.thread_time() - self._started_core if device.type == "cpu" else self.seconds

    @property
    def expired(self) -> bool:
        """Whether the protocol's time limit has passed."""
        return self._limit is not None and self.seconds > self._limit
