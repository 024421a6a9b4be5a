"""The same examples at every run, and no deadline: a busy machine is no failure."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("evoptim", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("evoptim")
