"""Run as a program in a mount namespace of its own: a search on a disk that runs full many times.

``small_disk.py FOLDER`` prints one JSON object: how the steps ended that found the disk full or
read-only, and by key the digest of everything in the store in the end.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from small_search import objects
from stepwise import StepFailedError, Stepwise, StoppedClock, is_whole

from evoptim.training import meter

FIRST, MORE, ENOUGH = 24, 24, 4096
"""KiB: of the disk at first, by which it grows, and more than which no search here needs."""


def main(folder: str) -> None:
    torch.set_num_threads(1)
    meter.time = StoppedClock  # type: ignore[assignment]
    disk, work = Path(folder) / "disk", Path(folder) / "work"
    for each in (disk, work):
        each.mkdir()
    mount("-t", "tmpfs", "-o", f"size={FIRST}k", "tmpfs", str(disk))
    store = disk / "store"

    mount("-o", "remount,ro", str(disk))
    read_only = failure(store, work)
    mount("-o", "remount,rw", str(disk))
    full = []
    for size in range(FIRST, ENOUGH, MORE):
        mount("-o", f"remount,size={size}k", str(disk))
        failed = failure(store, work)
        for key, data in objects(store):
            assert is_whole(key, data), f"{key} is torn"
        if failed is None:
            break
        full.append(failed)
    digests = {key: hashlib.sha256(data).hexdigest() for key, data in objects(store)}
    print(json.dumps({"read only": read_only, "full": full, "objects": digests}))


def failure(store: Path, work: Path) -> dict[str, Any] | None:
    """How the search ended that all steps make; None if well."""
    steps = Stepwise(str(store), work)
    try:
        steps.search()
    except StepFailedError:
        (failed,) = steps.failed
        return {"step": failed.args[1], "code": failed.returncode, "error": failed.stderr}
    return None


def mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


if __name__ == "__main__":
    main(sys.argv[1])
