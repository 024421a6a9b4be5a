"""What every test starts from."""

from __future__ import annotations

import inspect
import signal

import torch

# A background job of a shell starts with SIGINT ignored, and so would all processes that tests
# start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# On tensors of a few hundred numbers a second thread costs more than it saves, by far where
# another process uses the same cores.
torch.set_num_threads(1)

_stack = inspect.stack


def _stack_without_sources(context: int = 0) -> list[inspect.FrameInfo]:
    return _stack(context)


# kfp asks for the whole stack at every setting of a task. Under pytest that is fifty frames deep,
# and to read the sources of them all takes longer than everything else that compiling does.
inspect.stack = _stack_without_sources
