"""What a search asks of a cluster at 10 to 100,000 candidates a generation, and how long one takes.

Counted: bytes of the compiled pipeline for Kubeflow and of the template for Argo, of the Workflow
at its end and of the Job, and requests to the store, all by the preflight (a test compares the
requests with those of a whole search on an S3 server).

Measured: ``evoptim step propose`` and ``select`` as pods run them, each in fresh processes on a
folder, for a generation of random genomes and for one of mutants; their peak memory; what ``evoptim
step generation``, which does both in one process, takes until it makes its Job and after its end;
and what ``evoptim step evaluate`` adds to the trainings of its candidates. Genomes are real;
evaluations are copies of a few real ones under other fitness. Times are of processors, so that what
else the machine does matters little: a step's own, and that of its workers divided by the cores
that its pod may use. What a request to S3 takes of a core is measured on a server of this machine.

Simulated: one generation from its beginning to its population (``benchmarks/makespan.py``), with
the measured times and with what a cluster adds, which is assumed and can be given.

    python benchmarks/scale.py [--candidates N ...] [--workers N ...] [--seconds S]
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path

from makespan import Cluster, Engine, Steps
from rich.console import Console
from rich.table import Table
from scale_counts import Bytes, count_bytes, search_config
from scale_overhead import BAR_OVERHEAD, best_chunk, shares, simulated, step_times
from scale_steps import (
    Measured,
    measure_begin,
    measure_evaluate,
    measure_request,
    measure_steps,
    measure_warm_up,
    real_records,
)

from pipelines.profile_reading import read_profile

SIZES = (10, 100, 1_000, 10_000, 100_000)
WORKERS = (8, 64, 512)
BAR_SECONDS = 60.0
BAR_CORES = 2
"""Propose and select together at 10,000 candidates on so many cores."""
ENGINES: tuple[Engine, ...] = ("argo job", "kfp job")


def report(arguments: argparse.Namespace, cluster: Cluster, console: Console) -> None:
    """Print everything, and at the end which bars are met."""
    console.print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        os.environ.setdefault("EVOPTIM_CACHE_DIR", str(root / "cache"))
        records = real_records(root / "records")
        start, candidate = measure_evaluate(root / "evaluate", arguments.repeats)
        warm = min(start, measure_warm_up(root / "warm"))
        console.print(
            f"evaluate: {start:.2f} s to its first training, {warm:.2f} s of them to where it may "
            f"wait, {1000 * candidate:.0f} ms around each"
        )
        begin, request = measure_begin(), measure_request(records)
        console.print(
            f"a process that draws begins in {begin.draw:.2f} s, one that reads in "
            f"{begin.read:.2f} s, a generation makes its Job in {begin.job:.2f} s; a request to S3 "
            f"takes {1000 * request:.1f} ms of a core"
        )
        sizes: dict[int, Bytes] = {}
        measured: dict[int, Measured] = {}
        for count in arguments.candidates:
            config = search_config(count)
            sizes[count] = count_bytes(config)
            measured[count] = measure_steps(root / str(count), config, records, begin)
    console.print(bytes_table(sizes))
    console.print(steps_table(measured, arguments.step_cores))
    times = {
        count: step_times(each, begin, arguments.step_cores, start, warm, candidate, request)
        for count, each in measured.items()
    }
    console.print(makespan_table(times, arguments, cluster))
    for line, ok in verdicts(sizes, measured, times, cluster):
        console.print(f"{line}: {'met' if ok else 'MISSED'}", soft_wrap=True)


def bytes_table(sizes: dict[int, Bytes]) -> Table:
    table = _table("candidates", "fan-out", "KFP IR", "Argo", "Workflow at its end", "Job", "S3")
    for count, each in sizes.items():
        table.add_row(
            f"{count:,}",
            each.fan_out,
            *(f"{number / 1024:,.1f} KiB" for number in (each.ir, each.argo, each.workflow)),
            f"{each.job / 1024:,.1f} KiB",
            f"{each.requests:,}",
        )
    return table


def steps_table(measured: dict[int, Measured], cores: int) -> Table:
    table = _table(
        "candidates", "propose", "of mutants", "select", "of mutants", "memory", "of select"
    )
    for count, each in measured.items():
        table.add_row(
            f"{count:,}",
            *(f"{cost.seconds(cores):,.1f} s" for cost in (*each.propose, *each.select)),
            *(f"{number / 2**20:,.0f} MiB" for number in each.memory),
        )
    return table


def makespan_table(
    times: dict[int, Steps], arguments: argparse.Namespace, cluster: Cluster
) -> Table:
    table = _table("candidates", "workers", "ideal", "engine", "one a pod", "chunk", "overhead")
    for count, steps_times in times.items():
        for workers in arguments.workers:
            for engine in ENGINES:
                given = (count, arguments.seconds, workers)
                alone = simulated(*given, 1, engine, steps_times, cluster)
                chunk, overhead = best_chunk(*given, engine, steps_times, cluster)
                table.add_row(
                    f"{count:,}",
                    str(workers),
                    f"{count * arguments.seconds / workers:,.1f} s",
                    engine,
                    f"{alone:+.0%}",
                    str(chunk),
                    f"{overhead:+.1%}",
                )
    return table


def verdicts(
    sizes: dict[int, Bytes],
    measured: dict[int, Measured],
    times: dict[int, Steps],
    cluster: Cluster,
) -> Iterator[tuple[str, bool]]:
    """Each bar that the chosen sizes allow to look at."""
    large = [each for count, each in sizes.items() if count >= 1_000]
    if len(large) > 1:
        spread = max(each.workflow for each in large) - min(each.workflow for each in large)
        yield (f"a Workflow of constant size from 1,000 on (it varies by {spread} bytes)",
                   spread < 100)  # fmt: skip
    if 10_000 in measured:
        together = measured[10_000].together(BAR_CORES)
        yield (
            f"propose and select at 10,000 in {BAR_SECONDS:.0f} s on {BAR_CORES} cores "
            f"({together:.1f} s)",
            together <= BAR_SECONDS,
        )
        for engine in ENGINES:
            chunk, overhead = best_chunk(10_000, 1.0, 64, engine, times[10_000], cluster)
            adds = shares(10_000, 64, chunk, engine, times[10_000], cluster)
            listed = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in adds.items())
            yield (
                f"overhead of {BAR_OVERHEAD:.0%} at 10,000 one-second candidates on 64 workers, "
                f"{engine}, {chunk} a pod ({overhead:.1%}: {listed})",
                overhead <= BAR_OVERHEAD,
            )


def _table(*columns: str) -> Table:
    table = Table()
    for column in columns:
        table.add_column(column, justify="right")
    return table


def parse(given: Sequence[str] | None = None) -> tuple[argparse.Namespace, Cluster]:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--candidates", type=int, nargs="+", default=SIZES)
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS)
    parser.add_argument("--seconds", type=float, default=1.0, help="of one candidate's training")
    parser.add_argument(
        "--step-cores",
        type=int,
        default=int(read_profile().steps.resources.limits.cpu),
        help="of propose and select; what the default profile lets them have: %(default)s",
    )
    parser.add_argument("--repeats", type=int, default=3, help="of the measurement of evaluate")
    for each in fields(Cluster):
        parser.add_argument(
            f"--{each.name.replace('_', '-')}", type=float, default=each.default, help="assumed"
        )
    arguments = parser.parse_args(given)
    values = {each.name: getattr(arguments, each.name) for each in fields(Cluster)}
    return arguments, replace(Cluster(), **values)


if __name__ == "__main__":
    given, assumed = parse()
    report(given, assumed, Console())
