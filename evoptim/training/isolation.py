"""What an evaluation changes in its process, and puts back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def isolated(*, tf32: bool = False) -> Iterator[None]:
    """One thread, gradients on, reproducible convolutions; afterwards everything as it was.

    One thread because the order in which several add up changes the last bits, and because
    networks of this size train fastest so. The global random state is put back as well.
    ``tf32`` lets convolutions of a GPU round float32 to 10 bits of mantissa.
    """
    threads = torch.get_num_threads()
    cudnn = torch.backends.cudnn
    torch.set_num_threads(1)
    try:
        with (
            torch.random.fork_rng(),
            torch.enable_grad(),
            cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=tf32),
        ):
            yield
    finally:
        torch.set_num_threads(threads)
