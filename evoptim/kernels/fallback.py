"""What is said, once, where nothing can be compiled."""

from __future__ import annotations

import warnings

_said = False


def warn_once(reason: str) -> None:
    """Warn that the interpreter runs in a kernel's place."""
    global _said  # noqa: PLW0603
    if _said:
        return
    _said = True
    warnings.warn(
        f"fused=True falls back to the interpreter, which computes the same more slowly: {reason}. "
        "Install a C++ compiler (Debian and Ubuntu: apt install g++; conda: cxx-compiler; macOS: "
        "xcode-select --install), point CXX to one, or leave fused out",
        stacklevel=2,
    )
