"""Builds C++ into shared objects and loads them, from disk where they were built before."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

from evoptim.cache import cache_directory
from evoptim.errors import EvoptimError

_FLAGS = (
    "-O3",
    "-march=native",
    *(("-mprefer-vector-width=512",) if platform.machine() in ("x86_64", "AMD64") else ()),
    "-fPIC",
    "-shared",
    "-fopenmp-simd",
    # Infinities and NaN are results like others, and each operation rounds as torch's does.
    "-ffp-contract=off",
    # Without these two no square root and no comparison would be vectorised.
    "-fno-math-errno",
    "-fno-trapping-math",
)
_VARIANTS = (
    # glibc's vector functions, where it has all that a rule needs; else this fails to link.
    ("-DVECTOR_MATH", "-Wl,--no-undefined", "-lmvec", "-lm"),
    ("-lm",),
)
_DIGEST = 32
_TIMEOUT = 120


class BuildError(EvoptimError, RuntimeError):
    """A kernel cannot be built or loaded."""


def load(source: str) -> ctypes.CDLL:
    """The library of ``source``: the one in the cache, or else built now.

    A file in the cache ends with its own SHA-256, so that half a file is never loaded, and lies in
    a folder that nobody but this user can write to. Files are renamed into place: several
    processes may build the same one. Where the cache cannot be used, the library lives in a
    temporary folder until it is loaded.

    Raises:
        BuildError: there is no compiler, or it does not accept the source.
    """
    if os.name != "posix":
        raise BuildError(f"kernels are built on POSIX systems only, this is {os.name}")
    compiler = find_compiler()
    if compiler is None:
        raise BuildError("there is no C++ compiler ($CXX, c++, g++ and clang++ were looked for)")
    directory = kernel_directory()
    name = f"{_key(source, compiler)}.so"
    if directory is not None:
        found = directory / name
        with contextlib.suppress(OSError):
            if _sound(found):
                return ctypes.CDLL(str(found))
    # A folder of its own: the library is loaded from where it was built if it cannot be kept.
    with tempfile.TemporaryDirectory(prefix="evoptim-kernels-") as scratch:
        built = Path(scratch) / name
        _build(source, built, compiler)
        if directory is not None:
            with contextlib.suppress(OSError):
                _publish(built, directory / name)
        try:
            return ctypes.CDLL(str(built))
        except OSError as error:
            raise BuildError(
                f"what {shlex.join(compiler)} built cannot be loaded: {error}"
            ) from error


def find_compiler() -> tuple[str, ...] | None:
    """The command of a C++ compiler: ``$CXX``, or the first that is installed."""
    chosen = shlex.split(os.environ.get("CXX", ""))
    for command in (chosen, ["c++"], ["g++"], ["clang++"]):
        path = shutil.which(command[0]) if command else None
        if path is not None:
            return (path, *command[1:])
    return None


def kernel_directory() -> Path | None:
    """``kernels-<user>`` in the cache; None if it is not safe.

    What lies there is run as this user's code: a folder that belongs to somebody else, or that
    others may write to, is not used.
    """
    try:
        directory = cache_directory() / f"kernels-{os.geteuid()}"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = directory.lstat()
    # RuntimeError: no home folder is known.
    except (OSError, RuntimeError):
        return None
    ours = stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid()
    private = not about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return directory if ours and private else None


def _key(source: str, compiler: tuple[str, ...]) -> str:
    """Covers all that the machine code depends on."""
    parts = (source, *compiler, _identity(compiler[0]), *_FLAGS, _processor(), *platform.libc_ver())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:40]


@functools.lru_cache(maxsize=4)
def _identity(compiler: str) -> str:
    """Changes with the compiler's version, which asking it for would take a process."""
    about = Path(compiler).resolve().stat()
    return f"{about.st_size} {about.st_mtime_ns}"


@functools.lru_cache(maxsize=1)
def _processor() -> str:
    """What ``-march=native`` looks at: machines of several kinds may share a cache."""
    with contextlib.suppress(OSError):
        wanted = ("vendor_id", "cpu family", "model", "flags", "CPU ", "Features")
        first = Path("/proc/cpuinfo").read_text().split("\n\n", 1)[0].splitlines()
        return "\n".join(line for line in first if line.startswith(wanted))
    return f"{platform.machine()} {platform.processor()}"


def _build(source: str, target: Path, compiler: tuple[str, ...]) -> None:
    text = target.with_suffix(".cpp")
    text.write_text(source)
    said = ""
    for variant in _VARIANTS:
        command = [*compiler, *_FLAGS, "-o", str(target), str(text), *variant]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_TIMEOUT, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BuildError(f"{shlex.join(compiler)} cannot be run: {error}") from error
        if done.returncode == 0:
            return
        said = done.stderr.strip()
    raise BuildError(f"{shlex.join(compiler)} failed: {said[-500:]}")


def _publish(built: Path, target: Path) -> None:
    content = built.read_bytes()
    handle, scratch = tempfile.mkstemp(prefix=".new-", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content + hashlib.sha256(content).digest())
        Path(scratch).replace(target)
    finally:
        Path(scratch).unlink(missing_ok=True)


def _sound(file: Path) -> bool:
    # Not left to the loader: it ends the process over a file that is too short.
    content = file.read_bytes()
    return hashlib.sha256(content[:-_DIGEST]).digest() == content[-_DIGEST:]
