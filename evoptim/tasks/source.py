"""Where image files come from: a folder or a zip. Nothing is ever extracted to disk."""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Protocol

from evoptim.errors import InputError
from evoptim.tasks.listing import is_hidden

MAX_FILE_BYTES = 64 * 2**20
"""Largest image file that is read; a zip's member may claim any size."""
MAX_DEPTH = 8
"""Folders nested deeper are not looked into: a symbolic link may make a circle."""


class ImageSource(Protocol):
    """Named files, and the folders that they lie in."""

    label: str
    """How to call the source in an error."""

    def files(self) -> list[str]:
        """Names of all files, "/"-separated."""

    def folders(self) -> list[str]:
        """Names of all folders, "/"-separated, empty ones included."""

    def read(self, name: str) -> bytes:
        """The content of one file.

        Raises:
            InputError: it is too large or cannot be read.
        """


def identify(data: str) -> str:
    """A text that changes when a file of a folder or zip does, found without reading any.

    Raises:
        InputError: there is neither at that path.
    """
    path = _existing(data)
    if path.is_dir():
        return _Folder(path).identity()
    status = path.stat()
    return f"zip {path.resolve()} {status.st_size} {status.st_mtime_ns}"


@contextmanager
def open_source(data: str) -> Iterator[ImageSource]:
    """Open a folder or zip.

    Raises:
        InputError: there is neither at that path, or it cannot be read.
    """
    path = _existing(data)
    if path.is_dir():
        yield _Folder(path)
        return
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(
            f"{data!r} is neither a folder nor a readable zip ({error}); pass one of the two"
        ) from error
    with archive:
        yield _Zip(path, archive)


def _existing(data: str) -> Path:
    path = Path(data)
    # A path that may not be looked at, or that is no path at all, is as good as none.
    with suppress(OSError, RuntimeError, ValueError):
        path = path.expanduser()
        if path.is_dir() or path.is_file():
            return path
    raise InputError(f"there is no folder or zip of images at {data!r}; check task.data")


class _Folder:
    def __init__(self, path: Path) -> None:
        self.label = f"the folder {str(path)!r}"
        self._path = path
        self._files: list[str] = []
        self._folders: list[str] = []
        for found, names, files in os.walk(path, onerror=self._refuse, followlinks=True):
            inner = Path(found).relative_to(path)
            names[:] = sorted(
                name for name in names if not is_hidden(name) and len(inner.parts) < MAX_DEPTH
            )
            self._folders += [(inner / name).as_posix() for name in names]
            self._files += [(inner / name).as_posix() for name in files if not is_hidden(name)]

    def files(self) -> list[str]:
        return self._files

    def folders(self) -> list[str]:
        return self._folders

    def read(self, name: str) -> bytes:
        try:
            with (self._path / name).open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise self._unreadable(error) from error
        if len(content) > MAX_FILE_BYTES:
            raise _too_large(name, self.label)
        return content

    def identity(self) -> str:
        digest = hashlib.sha256()
        try:
            for name in sorted(self._files):
                status = (self._path / name).stat()
                digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
        except OSError as error:
            raise self._unreadable(error) from error
        return f"folder {self._path.resolve()} {digest.hexdigest()}"

    def _refuse(self, error: OSError) -> None:
        raise self._unreadable(error)

    def _unreadable(self, error: OSError) -> InputError:
        return InputError(
            f"{self.label} cannot be read: {error.strerror} ({error.filename}); make it readable"
        )


class _Zip:
    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.label = f"the zip {str(path)!r}"
        self._path = path
        self._archive = archive
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in archive.infolist():
            if _escapes(member.filename):
                raise InputError(
                    f"{self.label} holds {member.filename!r}, a name that points outside of it; "
                    "zip the folder anew"
                )
            if member.filename in self._members:
                raise InputError(
                    f"{self.label} holds {member.filename!r} twice; zip the folder anew"
                )
            self._members[member.filename] = member

    def files(self) -> list[str]:
        return [name for name, member in self._members.items() if not member.is_dir()]

    def folders(self) -> list[str]:
        return [name.rstrip("/") for name, member in self._members.items() if member.is_dir()]

    def read(self, name: str) -> bytes:
        member = self._members[name]
        if member.file_size > MAX_FILE_BYTES:
            raise _too_large(name, self.label)
        if member.flag_bits & 0x1:
            raise InputError(f"{name!r} in {self.label} is encrypted; zip it without a password")
        try:
            return self._archive.read(member)
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError) as error:
            raise InputError(
                f"{name!r} in {self.label} is corrupt ({error}); replace it or leave it out"
            ) from error


def _escapes(name: str) -> bool:
    path = PurePosixPath(name)
    drive = any(":" in part for part in path.parts[:1])
    return path.is_absolute() or ".." in path.parts or "\\" in name or drive


def _too_large(name: str, label: str) -> InputError:
    return InputError(
        f"an image file may have {MAX_FILE_BYTES // 2**20} MiB, but {name!r} in {label} has more; "
        "replace it or leave it out"
    )
