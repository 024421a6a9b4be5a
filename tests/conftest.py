"""What every test starts from."""

from __future__ import annotations

import signal

import torch

# A background job of a shell starts with SIGINT ignored, and so would all processes that tests
# start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# On tensors of a few hundred numbers a second thread costs more than it saves, by far where
# another process uses the same cores.
torch.set_num_threads(1)
