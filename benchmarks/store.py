"""A run of 100,000 evaluation records: how fast it is listed and read, and what its verbs take.

Writes a run whose genomes are real and whose records have the size of the quickstart's (8 kB; see
tests/large_run.py), then measures, each in a process of its own:

  list      names of all evaluations
  get       contents of all evaluations, 16 at a time
  select    the step that chooses the particles of the last generation
  results   ``evoptim results`` while the run has no report
  report    the step that writes archive, summary, champion and page
  results (reported)
            ``evoptim results`` after that, from the archive

Peak is the most memory that the process ever held, imports included (bar for ``results``: 1 GB).
Core s are those of the process alone, without the server's. The folder's files are in the page
cache: what was written a moment ago is not read from the disk.

    python benchmarks/store.py                              a folder, one generation
    python benchmarks/store.py --generations 100            the same records in 100 generations
    python benchmarks/store.py --store rgw --records 20000  a real S3 server: Ceph's gateway
    python benchmarks/store.py --store moto --records 5000  moto's, which is Python itself
    python benchmarks/store.py --store s3://bucket/prefix   yours; AWS_* say where it is
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

TESTS = Path(__file__).resolve().parent.parent / "tests"
RUN = "large"
BAR_MB = 1_000
ROWS = ("list", "get", "select", "results", "report", "results (reported)")
BUCKET = "evoptim-benchmark"

# What the measuring processes do; this one imports nothing large, since a child's peak memory
# counts from that of its parent on some systems.


def make(folder: Path, records: int, generations: int) -> None:
    sys.path.insert(0, str(TESTS))
    from large_run import write_large_run

    with bar("writing records", records) as advance:
        write_large_run(folder, RUN, records, generations, on_written=advance)


def upload(folder: Path, store: str) -> None:
    from evoptim.store import open_store, read_many
    from evoptim.store.local import LocalStore

    source, target = LocalStore(folder), open_store(store)
    keys = list(source.list(f"runs/{RUN}/"))
    began = time.perf_counter()
    with bar("uploading", len(keys)) as advance:
        put = read_many(lambda key: target.put(key, source.get(key)), keys)
        for number, written in enumerate(put, start=1):
            if not written:
                raise SystemExit(f"{store} holds a run {RUN!r} already: choose another prefix")
            advance(number)
    seconds = time.perf_counter() - began
    print(f"uploaded {len(keys):,} objects, {len(keys) / seconds:,.0f} a second", file=sys.stderr)


def measure(what: str, store: str) -> dict[str, Any]:
    action = _action(what, store)
    began, before = time.perf_counter(), time.process_time()
    count = action()
    return {
        "seconds": time.perf_counter() - began,
        "core_seconds": time.process_time() - before,
        "records": count,
        "peak_mb": _peak_mb(),
        "torch": "torch" in sys.modules,
    }


def _action(what: str, store: str) -> Any:
    from evoptim.cli.main import main
    from evoptim.steps import reading
    from evoptim.store import Stage, open_store, read_many
    from evoptim.store.layout import evaluations_prefix

    opened = open_store(store)

    def keys() -> list[str]:
        config = reading.read_config(opened, RUN)
        numbers = range(config.search.generations + 1)
        prefixes = [evaluations_prefix(RUN, Stage.generation(number)) for number in numbers]
        return [key for prefix in prefixes for key in opened.list(prefix)]

    def select() -> int:
        from evoptim.steps import select

        config = reading.read_config(opened, RUN)
        last = config.search.generations
        select(store, RUN, last)
        return reading.planned_in(config, Stage.generation(last))

    def results() -> None:
        with contextlib.redirect_stdout(io.StringIO()) as shown:
            try:
                main(["results", "--store", store, "--run", RUN])
            except SystemExit as end:
                if end.code:
                    raise
        if "finals" not in shown.getvalue():
            raise SystemExit("evoptim results printed no ranking")

    def report() -> None:
        from evoptim.steps import report

        page = report(store, RUN)
        print(f"the page has {len(page.encode()) / 1e6:.1f} MB", file=sys.stderr)

    if what == "get":
        names = keys()
        return lambda: sum(1 for _ in read_many(opened.get, names))
    return {
        "list": lambda: len(keys()),
        "select": select,
        "results": results,
        "report": report,
        "results (reported)": results,
    }[what]


def _peak_mb() -> float:
    """The peak since this program began; ``getrusage`` would count its parent's too."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024 / 1e6
    import resource

    # Kilobytes on Linux, bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


@contextlib.contextmanager
def bar(what: str, total: int) -> Iterator[Any]:
    columns = (what, BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
    from rich.console import Console

    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total)
        yield lambda done: progress.update(task, completed=done)


def child(*words: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, __file__, *words],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed with exit code {done.returncode}")
    return done.stdout


@contextlib.contextmanager
def serving(store: str, folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The URL of the store to measure, and what a process needs in its environment to use it."""
    if store == "local":
        yield str(folder), {}
        return
    if store.startswith("s3://"):
        yield f"{store.rstrip('/')}/{uuid.uuid4().hex[:8]}", {}
        return
    sys.path.insert(0, str(TESTS))
    if store == "rgw":
        from rgw_server import missing_rgw, serve_rgw

        if reason := missing_rgw():
            raise SystemExit(f"--store rgw {reason}")
        served: Any = serve_rgw()
    else:
        from s3_server import serve_s3

        served = serve_s3()
    with served as server:
        server.create_bucket(BUCKET)
        yield f"s3://{BUCKET}", server.environment()


def table(rows: dict[str, dict[str, Any]]) -> Iterator[str]:
    yield f"{'':20} {'seconds':>8} {'core s':>7} {'records/s':>10} {'peak MB':>8}"
    for name, row in rows.items():
        rate = f"{row['records'] / row['seconds']:,.0f}" if row["records"] else ""
        yield (
            f"{name:20} {row['seconds']:8.1f} {row['core_seconds']:7.1f} {rate:>10} "
            f"{row['peak_mb']:8,.0f}"
        )


def parse(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--records", type=int, default=100_000, help="evaluations of the run (default: %(default)s)"
    )
    parser.add_argument(
        "--generations",
        type=int,
        default=1,
        help="generations that they are spread over, the initial one counted; records of each must "
        "be a multiple of 5 (default: %(default)s)",
    )
    parser.add_argument(
        "--store",
        default="local",
        metavar="local|rgw|moto|s3://…",
        help="where the run lies: a folder; Ceph's gateway or moto's server, started here; or a "
        "bucket of yours, where the run stays under a prefix of its own (default: %(default)s)",
    )
    parser.add_argument(
        "--folder",
        type=Path,
        help="where to write; kept, and used again where it holds the run (default: a temporary "
        "one)",
    )
    # What this program says to itself.
    for hidden in ("--make", "--upload", "--measure"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    if options.make or options.upload or options.measure:
        return options
    if options.store not in ("local", "rgw", "moto") and not options.store.startswith("s3://"):
        parser.error(f"--store is local, rgw, moto or s3://bucket/prefix, got {options.store!r}")
    each, left = divmod(options.records, max(1, options.generations))
    if options.generations < 1 or left or each % 5 or not 0 < each <= 100_000:
        parser.error(
            f"--records must give each of --generations a multiple of 5, at most 100,000, got "
            f"{options.records} and {options.generations}"
        )
    return options


def main() -> None:
    options = parse()
    if options.make:
        make(Path(options.make), options.records, options.generations)
    elif options.upload:
        upload(options.folder, options.upload)
    elif options.measure:
        print(json.dumps(measure(options.measure, options.store)))
    else:
        bench(options)


def bench(options: argparse.Namespace) -> None:
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        size = ["--records", str(options.records), "--generations", str(options.generations)]
        if not (folder / "runs" / RUN).exists():
            child("--make", str(folder), *size, environment={})
        store, environment = stack.enter_context(serving(options.store, folder))
        if options.store != "local":
            child("--upload", store, "--folder", str(folder), environment=environment)
        rows = {}
        for name in ROWS:
            print(f"measuring: {name}", file=sys.stderr)
            measured = child("--measure", name, "--store", store, environment=environment)
            rows[name] = json.loads(measured)
    print(
        f"{options.records:,} records in {options.generations} generation(s), store "
        f"{options.store}, {os.cpu_count()} cores"
    )
    for line in table(rows):
        print(line)
    peak = max(rows[name]["peak_mb"] for name in ROWS if name.startswith("results"))
    print(f"results: {peak:,.0f} MB at most, bar {BAR_MB:,} MB")
    if peak > BAR_MB:
        raise SystemExit("the bar is missed")


if __name__ == "__main__":
    main()
