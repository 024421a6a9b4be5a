"""A run of 20,000 evaluations: what its verbs hold in memory grows by a bounded share for each."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from large_run import write_large_run

RECORDS = 20_000
# 100,000 must stay under 1 GB, of which the imports take less than 350 MB.
BYTES_EACH = 6_500

_PROGRAM = """
import sys
from pathlib import Path

def memory(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

import json, scipy.special, torch, numpy
import evoptim.report
from evoptim import steps
from evoptim.verbs import results

store, run, what = sys.argv[1:]
before = memory("VmHWM")
if what == "results":
    count = len(results(run, store).entries)
elif what == "select":
    steps.select(store, run, 0)
    count = 0
else:
    count = steps.report(store, run).count('scope="row" class="grow"')
print(json.dumps({"count": count, "bytes": memory("VmHWM") - before}))
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    write_large_run(folder, "large", RECORDS)
    return folder


def measure(store: Path, what: str) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(store), "large", what],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, int] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_for_each_record_is_bounded_from_the_unfinished_run_to_its_archive(
    store: Path,
) -> None:
    unfinished = measure(store, "results")
    selected = measure(store, "select")
    reported = measure(store, "report")
    archived = measure(store, "results")
    assert unfinished["count"] == archived["count"] == RECORDS
    for each in (unfinished, selected, archived):
        assert each["bytes"] < BYTES_EACH * RECORDS
    # The report holds everything at once, and writes it.
    assert reported["bytes"] < 2 * BYTES_EACH * RECORDS
    assert reported["count"] == 1_000
    assert (store / "runs/large/report/index.html").stat().st_size < 4_000_000
