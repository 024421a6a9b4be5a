"""A real disk that runs full in every step, or is read-only, costs a search nothing but time."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import small_disk
from small_search import objects
from stepwise import Stepwise, StoppedClock

from evoptim.training import meter

ALONE = ("unshare", "--user", "--map-root-user", "--mount")
"""A mount that nobody else sees, as any user."""


@pytest.mark.slow
def test_a_search_goes_on_whenever_its_disk_has_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not can_mount(tmp_path):
        pytest.skip("needs user namespaces that may mount a tmpfs (unshare, mount)")
    done = subprocess.run(
        [*ALONE, sys.executable, small_disk.__file__, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)

    where = f"error: the store folder {tmp_path}/disk/store "
    refused = told["read only"]
    assert refused["code"] == 2
    assert refused["error"].startswith(f"{where}must be readable and writable")
    assert {"evaluate", "select", "report"} <= {each["step"] for each in told["full"]}
    for each in told["full"]:
        assert each["code"] == 1
        assert each["error"].startswith(f"{where}needs free space: No space left on device")
        assert each["error"].endswith("everything finished is kept\n")

    monkeypatch.setattr(meter, "time", StoppedClock)
    Stepwise(str(tmp_path / "store"), tmp_path).search()
    wanted = dict(objects(tmp_path / "store"))
    assert told["objects"] == {
        key: hashlib.sha256(each).hexdigest() for key, each in wanted.items()
    }


def can_mount(folder: Path) -> bool:
    try:
        tried = subprocess.run(
            [*ALONE, "mount", "-t", "tmpfs", "tmpfs", str(folder)], check=False, capture_output=True
        )
    except FileNotFoundError:
        return False
    return tried.returncode == 0
