"""A store in a local folder: every object is a plain file."""

from __future__ import annotations

import errno
import fcntl
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evoptim.errors import EvoptimError, InfrastructureError, InputError
from evoptim.store.base import (
    PROBE_DATA,
    PROBE_KEY,
    MissingObjectError,
    check_key,
    check_prefix,
    is_key,
)

_NO_HARD_LINKS: Final = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
_FULL: Final = {errno.ENOSPC, errno.EDQUOT}
_REFUSED: Final = {errno.EACCES, errno.EPERM, errno.EROFS}
_IN_THE_WAY: Final = {errno.ENOTDIR, errno.EISDIR, errno.EEXIST}


@dataclass(frozen=True)
class LocalStore:
    """The folder backend of :class:`evoptim.store.Store`; the folder appears with the first write.

    A process that dies while it writes leaves at most a temporary file behind, whose name is no
    key: no verb ever shows it.
    """

    root: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", self.root.absolute())
        try:
            if self.root.exists() and not self.root.is_dir():
                raise _in_the_way(self.root)
        except OSError as error:
            raise self._explain(error, self.root) from error

    @property
    def url(self) -> str:
        """The absolute path of the folder."""
        return str(self.root)

    @property
    def place(self) -> str:
        """See :attr:`evoptim.store.Store.place`."""
        return f"the folder {self.root}"

    def put(self, key: str, data: bytes) -> bool:
        """See :meth:`evoptim.store.Store.put`."""
        return not self.exists(key) and self._write(key, data)

    def get(self, key: str) -> bytes:
        """See :meth:`evoptim.store.Store.get`."""
        path = self._path(key)
        try:
            return path.read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise MissingObjectError(key, self.url) from None
        except OSError as error:
            raise self._explain(error, path) from error

    def exists(self, key: str) -> bool:
        """See :meth:`evoptim.store.Store.exists`."""
        path = self._path(key)
        try:
            return path.is_file()
        except OSError as error:
            raise self._explain(error, path) from error

    def list(self, prefix: str = "") -> Iterator[str]:
        """See :meth:`evoptim.store.Store.list`."""
        return self._walk("", check_prefix(prefix))

    def probe(self) -> bool:
        """See :meth:`evoptim.store.Store.probe`; a folder always refuses the second write."""
        self._write(PROBE_KEY, PROBE_DATA)
        return not self._write(PROBE_KEY, PROBE_DATA)

    def _path(self, key: str) -> Path:
        return self.root / check_key(key)

    def _write(self, key: str, data: bytes) -> bool:
        path = self._path(key)
        # '~' cannot stand in a key, so no listing takes a half-written file for an object.
        temporary = path.with_name(f".~{uuid.uuid4().hex}")
        try:
            _make_folder(path.parent)
            try:
                _write_durably(temporary, data)
                written = _claim(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
            if written:
                _sync_folder(path.parent)
            elif path.is_dir():
                raise InputError(
                    f"an object must be a file, but {path} is a folder; remove it or choose "
                    f"another store"
                )
        except OSError as error:
            raise self._explain(error, path) from error
        return written

    def _walk(self, folder: str, prefix: str) -> Iterator[str]:
        try:
            with os.scandir(self.root / folder) as entries:
                # With its '/' a folder sorts among its siblings as its keys do.
                found = sorted(f"{folder}{entry.name}{'/' * entry.is_dir()}" for entry in entries)
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._explain(error, self.root / folder) from error
        for name in found:
            if name.endswith("/"):
                if is_key(name[:-1]) and (name.startswith(prefix) or prefix.startswith(name)):
                    yield from self._walk(name, prefix)
            elif is_key(name) and name.startswith(prefix):
                yield name

    def _explain(self, error: OSError, path: Path) -> EvoptimError:
        reason = error.strerror or str(error)
        if error.errno in _FULL:
            return InfrastructureError(
                f"the store folder {self.root} needs free space: {reason} at {path}; free some "
                f"and run the same command again, everything finished is kept"
            )
        if error.errno in _IN_THE_WAY:
            return _in_the_way(next(p for p in (path, *path.parents) if os.path.lexists(p)))
        if error.errno in _REFUSED:
            return InputError(
                f"the store folder {self.root} must be readable and writable, but at {path}: "
                f"{reason}; change its permissions or choose another store"
            )
        if error.errno in {errno.ENOENT, errno.ENAMETOOLONG}:
            return InputError(
                f"the store folder {self.root} must be one that can be made, but at {path}: "
                f"{reason}; choose another store"
            )
        return InfrastructureError(
            f"the store folder {self.root} failed at {path}: {reason}; check the disk and run the "
            f"same command again"
        )


def _in_the_way(path: Path) -> InputError:
    return InputError(
        f"a store must be a folder, but {path} is none; remove it or choose another store"
    )


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    # Until its folder is on the disk too, a new name may vanish with the power.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _claim(temporary: Path, path: Path) -> bool:
    """Give a complete file its final name, unless that is taken; False if it is."""
    try:
        # A rename would replace what is there, and O_EXCL would show the file before its content.
        os.link(temporary, path)
    except FileExistsError:
        # A network file system may repeat a link whose answer was lost and then find its own.
        return temporary.stat().st_nlink == 2
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        return _claim_under_lock(temporary, path)
    return True


def _claim_under_lock(temporary: Path, path: Path) -> bool:
    """As :func:`_claim`, for file systems without hard links (FAT, some network mounts)."""
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        # The kernel drops this lock with the process, so a killed writer blocks nobody.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if path.exists():
            return False
        temporary.rename(path)
        return True
    finally:
        os.close(descriptor)
