"""Decoded splits on disk, so that each of a run's many processes starts in no time.

Entries are whole directories, renamed into place; one that does not match its own fingerprint is
built anew. Deleting the cache folder is always safe.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from evoptim.cache import cache_directory
from evoptim.config import TaskSpec
from evoptim.tasks.assemble import assemble
from evoptim.tasks.dataset import Split, fingerprint
from evoptim.tasks.packed import SharedImages, pack, unpack

_FORMAT = 1


def cached_split(
    spec: TaskSpec,
    identity: str,
    build: Callable[[], Split],
    shared: SharedImages | None = None,
) -> Split:
    """The split in the cache, or else ``build()``, kept for the next time if that is possible.

    Args:
        spec: what was asked for; its fingerprint is not part of the key, but that of what others
            share.
        identity: text that changes when the source's content or its decoder does.
        build: makes the split.
        shared: what other machines have built, and where to leave what this one builds.
    """
    entry = cache_directory() / "tasks" / _key(spec, identity)
    found = _read(entry)
    if found is not None:
        return found
    split = build() if shared is None else _built_once(spec.fingerprint, build, shared)
    # A cache that cannot be written costs time, never the run.
    with contextlib.suppress(OSError):
        _write(entry, split)
    return split


def _built_once(expected: str | None, build: Callable[[], Split], shared: SharedImages) -> Split:
    data = None if expected is None else shared.get(expected)
    found = None if data is None or expected is None else unpack(data, expected)
    if found is not None:
        return found
    split = build()
    packed = pack(split)
    if packed is not None:
        shared.put(fingerprint(split), packed)
    return split


def _key(spec: TaskSpec, identity: str) -> str:
    asked = spec.model_dump(mode="json", exclude={"fingerprint", "data"})
    text = json.dumps([_FORMAT, asked, identity], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _read(entry: Path) -> Split | None:
    try:
        about: dict[str, Any] = json.loads((entry / "split.json").read_text())
        # Copy-on-write: shared by all processes that map it, and writable as torch wants it.
        images = np.load(entry / "images.npy", mmap_mode="c", allow_pickle=False)
        labels = np.load(entry / "labels.npy", allow_pickle=False)
        train, validation, test = about["sizes"]
        split = assemble(about["classes"], images, labels, (train, validation, test))
        sound = fingerprint(split) == about["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError):
        return None
    return split if sound else None


def _write(entry: Path, split: Split) -> None:
    parts = (split.train, split.validation, split.test)
    about = {
        "classes": list(split.classes),
        "sizes": [len(part) for part in parts],
        "fingerprint": fingerprint(split),
    }
    entry.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=entry.parent))
    try:
        np.save(scratch / "images.npy", np.concatenate([part.images.numpy() for part in parts]))
        np.save(scratch / "labels.npy", np.concatenate([part.labels.numpy() for part in parts]))
        (scratch / "split.json").write_text(json.dumps(about))
        shutil.rmtree(entry, ignore_errors=True)
        scratch.rename(entry)
    finally:
        # Still there if anything failed, or if another process was first.
        shutil.rmtree(scratch, ignore_errors=True)
