"""Randomness of an evaluation: addressed by seed and purpose, never by candidate.

All candidates of a protocol start from the same weights and see the same images under the same
dropout masks, so that a difference in fitness comes from the optimizer.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import torch

Purpose = Literal["network", "augmentation", "optimizer"]


def derived_seed(seed: int, purpose: Purpose) -> int:
    """A seed for one purpose, unrelated to that of another purpose or of another seed."""
    return int.from_bytes(hashlib.sha256(f"{purpose}/{seed}".encode()).digest()[:4], "big")


def generator(seed: int, purpose: Purpose) -> torch.Generator:
    """A fresh generator of the CPU; draws are made there for every device, so that all agree."""
    return torch.Generator().manual_seed(derived_seed(seed, purpose))
