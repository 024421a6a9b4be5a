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
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, fields, replace
from functools import partial
from io import StringIO
from pathlib import Path
from random import Random
from unittest.mock import patch

import psutil
from makespan import Cluster, Engine, Requests, Steps, chunk_sizes, ideal, makespan
from rich.console import Console
from rich.table import Table

from evoptim import steps
from evoptim.config import RunConfig
from evoptim.config.reading import read_config
from evoptim.records import Evaluation
from evoptim.steps.evaluate import make_evolved
from evoptim.steps.parts import part_count
from evoptim.steps.processes import MOST
from evoptim.steps.reading import read_candidates
from evoptim.store import Stage, load, open_store, save, to_json
from evoptim.store.layout import evaluation_key, population_key
from evoptim.tasks import load_task
from evoptim.training import evaluate
from pipelines.argo import compile_workflow
from pipelines.preflight import Plan, make_plan, problems, with_fan_out
from pipelines.profile_reading import read_profile
from pipelines.store_requests import requests_per_candidate

SIZES = (10, 100, 1_000, 10_000, 100_000)
WORKERS = (8, 64, 512)
BAR_SECONDS = 60.0
BAR_CORES = 2
"""Propose and select together at 10,000 candidates on so many cores."""
BAR_OVERHEAD = 0.15
"""Of the ideal at 10,000 candidates of one second on 64 workers."""
ENGINES: tuple[Engine, ...] = ("argo job", "kfp job")
TESTS = Path(__file__).resolve().parents[1] / "tests"
RUN = "scale"
WRITTEN = 4
"""Requests that write a record, for all runs and for this one."""
TINY = {
    "screens.trial": None,
    "search.initial": 200,
    "search.particles": 1,
    "search.children": 1,
    "search.generations": 0,
    "protocol.model.base_width": 1,
    "protocol.seeds": [0],
    "protocol.sweep.rates": [[0.1]],
    "protocol.sweep.epochs": 1,
    "protocol.sweep.steps_per_epoch": 2,
    "protocol.sweep.schedule": {"total_steps": 2, "warmup_steps": 1},
    "protocol.training.epochs": 1,
    "protocol.training.steps_per_epoch": 2,
    "protocol.training.schedule": {"total_steps": 2, "warmup_steps": 1},
}
"""Trainings that take next to nothing, to measure what is around them."""


@dataclass(frozen=True)
class Cost:
    """What one step took, in processor seconds."""

    own: float
    """Of its first process while it is alone."""
    memory: int
    """Bytes, at most at a time, all processes together."""
    beside: float = 0.0
    """Of its first process while others work for it."""
    shared: float = 0.0
    """Of those others, but for their start."""
    begin: float = 0.0
    """Of one of those others until it works."""

    def seconds(self, cores: int) -> float:
        """How long the step takes on so many cores."""
        return self.own + self.together(cores)

    def together(self, cores: int) -> float:
        """That part of it in which others work for its first process."""
        together = self.begin + (self.shared + self.beside) / min(cores, MOST)
        return max(together, self.beside) if self.shared else 0.0


def run_step(store: Path, *arguments: str, begin: float = 0.0) -> Cost:
    """``evoptim step ...`` in a process of its own, as in a container.

    Args:
        store: The folder.
        arguments: What follows ``step``.
        begin: Processor seconds until one of the processes that it may start works.
    """
    program = "from evoptim.cli import main; main()"
    command = [sys.executable, "-c", program, "step", *arguments, "--store", str(store)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with tempfile.TemporaryFile() as output:
        started = subprocess.Popen(command, stdout=output, env=environment)
        process = psutil.Process(started.pid)
        others: dict[int, float] = {}
        memory, own, beside = 0, 0.0, 0.0
        while True:
            looked = _look(process)
            if looked is None:
                break
            used, held = looked
            before, own = own, used.pop(process.pid)
            # One of them is multiprocessing's own, which stays to the end and does next to nothing.
            beside += (own - before) if len(used) > 1 else 0.0
            others |= used
            memory = max(memory, held)
            time.sleep(0.02)
        # What it did since it was looked at last is known from its end alone.
        _, status, whole = os.wait4(process.pid, 0)
        started.returncode = os.waitstatus_to_exitcode(status)
    if status:
        raise subprocess.CalledProcessError(started.returncode, command)
    starts = begin * (len(others) - 1) if others else 0.0
    total = whole.ru_utime + whole.ru_stime
    return Cost(
        own=total - sum(others.values()) - beside,
        memory=memory,
        beside=beside,
        shared=max(0.0, sum(others.values()) - starts),
        begin=begin if others else 0.0,
    )


def _look(process: psutil.Process) -> tuple[dict[int, float], int] | None:
    """Processor seconds of a process and of those below it by their numbers, and the bytes that
    they hold; None where it has ended."""
    used: dict[int, float] = {}
    memory = 0
    try:
        below = process.children(recursive=True)
    except psutil.NoSuchProcess:
        return None
    for each in (process, *below):
        try:
            times, held = each.cpu_times(), each.memory_info().rss
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
        # An ended process holds nothing any more.
        if held:
            used[each.pid] = times.user + times.system
            memory += held
    return (used, memory) if process.pid in used else None


def import_seconds(*modules: str) -> float:
    """Processor seconds of a fresh process until it has imported these."""
    program = f"import time, {', '.join(modules)}\nprint(time.process_time())"
    command = [sys.executable, "-c", program]
    return statistics.median(
        float(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout) for _ in range(3)
    )


# The size of what is sent to a cluster


@dataclass(frozen=True)
class Bytes:
    ir: int
    argo: int
    workflow: int
    job: int
    requests: int
    fan_out: str
    problems: int


def search_config(candidates: int) -> RunConfig:
    """A search of two generations, the second of mutants, with so many candidates in the first."""
    settings = {
        # Evaluations are copies, so nobody has been tried.
        "screens.trial": None,
        "search.initial": candidates,
        "search.particles": max(1, candidates // 10),
        "search.children": 9,
        "search.generations": 1,
    }
    return read_config(settings=settings)


def count_bytes(config: RunConfig) -> Bytes:
    """The preflight's numbers, as ``evoptim compile`` comes to them."""
    profile = read_profile()
    plan: Plan = make_plan(config, profile)
    job = make_plan(config, profile.model_copy(update={"fan_out": "job"}), compiled="")
    return Bytes(
        ir=plan.ir_bytes,
        argo=len(compile_workflow(config, with_fan_out(profile, plan), plan.fan_out).encode()),
        workflow=plan.workflow_bytes,
        job=job.job_bytes,
        requests=plan.s3_requests,
        fan_out=plan.fan_out,
        problems=len(problems(plan)),
    )


# Steps


@dataclass(frozen=True)
class Begin:
    """Processor seconds until a process can do what it is for."""

    draw: float
    """One of those that ``propose`` starts."""
    read: float
    """One of those that ``select`` starts."""
    step: float
    """A step of any kind."""
    job: float
    """The step of a whole generation, when it makes a Job."""


def measure_begin() -> Begin:
    step = ("evoptim.cli.step", "evoptim.steps")
    driver = ("pipelines.generation", "pipelines.profile_reading", "evoptim.store.s3")
    return Begin(
        draw=import_seconds("evoptim.steps.propose", "evoptim.integrity"),
        read=import_seconds("evoptim.steps.scores", "evoptim.store.s3"),
        step=import_seconds(*step),
        job=import_seconds(*step, *driver, "kubernetes.client", "kubernetes.config"),
    )


def measure_request(records: Sequence[Evaluation]) -> float:
    """Processor seconds of one request to S3, here, for a record of the usual size."""
    times = 200
    sys.path.insert(0, str(TESTS))
    from s3_server import serve_s3

    with serve_s3() as server, patch.dict(os.environ, server.environment()):
        bucket = "scale"
        server.create_bucket(bucket)
        store = open_store(f"s3://{bucket}")
        save(store, "record.json", records[0])
        began = time.process_time()
        for _ in range(times):
            load(store, "record.json", Evaluation)
        return (time.process_time() - began) / times


@dataclass(frozen=True)
class Measured:
    """One size: the random generation first, then the one of mutants."""

    propose: tuple[Cost, Cost]
    select: tuple[Cost, Cost]
    finish: float
    """Seconds of the step of a whole generation when all is evaluated and read."""
    mutants: int
    read: float
    """Of a core, for one evaluation that is read and selected from."""

    def together(self, cores: int) -> float:
        """Seconds to propose and to select, in the slower of the two generations."""
        return max(
            one.seconds(cores) + two.seconds(cores)
            for one, two in zip(self.propose, self.select, strict=True)
        )

    @property
    def memory(self) -> tuple[int, int]:
        """Bytes at the peak of propose and of select."""
        return max(each.memory for each in self.propose), max(each.memory for each in self.select)


def real_records(store: Path) -> list[Evaluation]:
    """Evaluations of real optimizers under the protocol of ``quickstart``."""
    config = read_config(
        settings={
            "screens.trial": None,
            "screens.duplicates": False,
            "search.initial": 3,
            "search.particles": 1,
        }
    )
    steps.initialise(str(store), "records", config.model_dump_json())
    steps.propose(str(store), "records", 0, 1)
    with redirect_stdout(StringIO()):
        steps.evaluate(str(store), "records", 0, 0, 3)
    opened, stage = open_store(str(store)), Stage.generation(0)
    return [load(opened, evaluation_key("records", stage, index), Evaluation) for index in range(3)]


def measure_steps(
    store: Path, config: RunConfig, records: Sequence[Evaluation], begin: Begin
) -> Measured:
    steps.initialise(str(store), RUN, config.model_dump_json())
    propose, select = [], []
    finish = 0.0
    mutants = 0
    profile = read_profile().canonical_json()
    for number in (0, 1):
        of = ("--run", RUN, "--generation", str(number))
        propose.append(run_step(store, "propose", *of, begin=begin.draw))
        mutants = write_records(store, Stage.generation(number), records)
        select.append(run_step(store, "select", *of, begin=begin.read))
        if number == 0:
            (store / population_key(RUN, number)).unlink()
            finish = measure_finish(store, mutants, *of, "--profile-json", profile)
    first = select[0]
    read = (first.own - begin.step + first.beside + first.shared) / config.search.initial
    return Measured((propose[0], propose[1]), (select[0], select[1]), finish, mutants, read)


_WHEN_ALL_IS_READ = """
import sys, time
from contextlib import contextmanager
from evoptim import steps
from evoptim.cli import main
original = steps.read_ahead
@contextmanager
def read_ahead(*given):
    with original(*given) as ahead:
        while len(ahead.scores) < int(sys.argv[1]):
            time.sleep(0.1)
        print(time.process_time(), flush=True)
        yield ahead
steps.read_ahead = read_ahead
try:
    main(sys.argv[2:])
finally:
    print(time.process_time(), flush=True)
"""


def measure_finish(store: Path, evaluations: int, *arguments: str) -> float:
    """Processor seconds of the step of a whole generation after its last evaluation was read."""
    command = [sys.executable, "-c", _WHEN_ALL_IS_READ, str(evaluations), "step", "generation"]
    command += ["--store", str(store), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment, check=True)
    printed = done.stdout.split()
    return float(printed[-1]) - float(printed[0])


def write_records(store: Path, stage: Stage, records: Sequence[Evaluation]) -> int:
    """An evaluation for every candidate of a stage: a real one under another fitness."""
    opened, draw = open_store(str(store)), Random(0)
    candidates = read_candidates(opened, RUN, stage).candidates
    texts = [to_json(each).decode() for each in records]
    (store / evaluation_key(RUN, stage, 0)).parent.mkdir(parents=True)
    for each in candidates:
        place = draw.randrange(len(records))
        text = texts[place].replace(records[place].subject, each.id)
        fitness = f' "fitness": {json.dumps(records[place].fitness)},'
        text = text.replace(fitness, f' "fitness": {draw.random()},')
        # Written plainly: the store's care for each object would take minutes.
        (store / evaluation_key(RUN, stage, each.index)).write_text(text)
    return len(candidates)


def measure_evaluate(store: Path, repeats: int) -> tuple[float, float]:
    """Seconds of a task with a next to empty training, and around each further training."""
    config = read_config(settings=TINY)
    counts = (1, 21)
    used: dict[int, list[float]] = {count: [] for count in counts}
    training: list[float] = []
    for repeat in range(repeats):
        for count in counts:
            # In a store of its own: shared evaluations would be reused.
            here = store / f"{repeat}-{count}"
            steps.initialise(str(here), RUN, config.model_dump_json())
            steps.propose(str(here), RUN, 0, 1)
            chunk = ("--chunk", "0", "--candidates-per-task", str(count))
            cost = run_step(here, "evaluate", "--run", RUN, "--generation", "0", *chunk)
            used[count].append(cost.own)
        training.append(_training(store / f"{repeat}-1", config, counts[1]))
    one, many = (statistics.median(used[count]) for count in counts)
    each = (many - one) / (counts[1] - counts[0]) - statistics.median(training)
    return one, max(0.0, each)


_UNTIL_IT_SLEEPS = """
import os, sys, time
from evoptim.cli import main
def sleep(seconds):
    print(time.process_time(), flush=True)
    os._exit(0)
time.sleep = sleep
main(sys.argv[1:])
"""


def measure_warm_up(store: Path) -> float:
    """Processor seconds of a task until it waits for candidates."""
    steps.initialise(str(store), RUN, read_config(settings=TINY).model_dump_json())
    of = ("--store", str(store), "--run", RUN, "--generation", "0", "--chunk", "0", "--wait")
    command = [sys.executable, "-c", _UNTIL_IT_SLEEPS, "step", "evaluate", *of]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment, check=True)
    return float(done.stdout)


def _training(store: Path, config: RunConfig, count: int) -> float:
    """Seconds of one of these trainings by itself."""
    candidates = read_candidates(open_store(str(store)), RUN, Stage.generation(0)).candidates
    split = load_task(config.protocol.task)
    began = 0.0
    for place, each in enumerate(candidates[:count]):
        make = partial(make_evolved, each.gene or {})
        evaluate(each.id, make, config.protocol, split, device="cpu")
        if place == 0:
            # The first one warms up.
            began = time.process_time()
    return (time.process_time() - began) / (count - 1)


# Simulation


def simulated(
    candidates: int, seconds: float, workers: int, chunk: int, engine: Engine, times: Steps,
    cluster: Cluster,
) -> float:  # fmt: skip
    """Overhead: how much longer than the ideal a generation takes, as a share of it."""
    durations = [seconds] * candidates
    took = makespan(durations, workers, chunk, engine, times, cluster, requests(candidates))
    return took / ideal(durations, workers) - 1.0


def requests(candidates: int) -> Requests:
    """What steps ask of the store and wait for (``pipelines/store_requests.py`` counts all)."""
    parts = part_count(candidates)
    listings = math.ceil(candidates / 1_000)
    return Requests(
        # Is it proposed, the configuration; the whole, written in two; the parts as well.
        propose=(4, 2 * parts),
        # Is it there, configuration, the listing, the population of before; written in two, and
        # read by what comes next. Candidates and most evaluations are read before.
        select=(6 + listings, candidates),
        # Is it proposed, the configuration twice; and the Job, a request to the API server.
        begin=(4, 0),
        # The listing.
        watch=(listings, 0),
        # Is it proposed, the configuration; for each run of its candidates, two parts, which are
        # waited for, and the listing; the last record, written in four.
        start=(2 + 2 * 5 + WRITTEN, 0),
        # Does another run have it.
        start_each=requests_per_candidate() - WRITTEN,
        candidate=WRITTEN,
    )


def best_chunk(
    candidates: int, seconds: float, workers: int, engine: Engine, times: Steps, cluster: Cluster
) -> tuple[int, float]:
    """The smallest chunk that meets the bar, else the one with the least overhead."""
    tried = [
        (chunk, simulated(candidates, seconds, workers, chunk, engine, times, cluster))
        for chunk in chunk_sizes(candidates, workers)
    ]
    good = [each for each in tried if each[1] <= BAR_OVERHEAD]
    return good[0] if good else min(tried, key=lambda each: each[1])


def shares(
    candidates: int, workers: int, chunk: int, engine: Engine, times: Steps, cluster: Cluster
) -> dict[str, float]:
    """What each part adds to a generation of one-second candidates, in seconds: how much shorter it
    is without that part and those before it."""
    durations = [1.0] * candidates
    asked = requests(candidates)
    found: dict[str, float] = {}
    before = makespan(durations, workers, chunk, engine, times, cluster, asked)

    def without(name: str) -> None:
        nonlocal before
        now = makespan(durations, workers, chunk, engine, times, cluster, asked)
        found[name], before = before - now, now

    for each in ("driver", "notice"):
        cluster = replace(cluster, **{each: 0.0})
        without(each)
    cluster = replace(cluster, request=0.0)
    times = replace(times, request=0.0)
    without("S3")
    for each in ("begin", "finish", "candidate"):
        times = replace(times, **{each: 0.0})
        without(each)
    # What goes on while pods start comes before them: what is left of it is what they wait for.
    times, cluster = replace(times, propose=0.0, drawing=0.0, step=0.0), replace(cluster, poll=0.0)
    without("propose")
    cluster = replace(cluster, pods_per_second=math.inf)
    without("pods made")
    times = replace(times, start=0.0, warm=0.0)
    without("start")
    cluster = replace(cluster, pod=0.0)
    without("pod")
    return found


# Output


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


def step_times(
    measured: Measured,
    begin: Begin,
    cores: int,
    start: float,
    warm: float,
    candidate: float,
    request: float,
) -> Steps:
    """What is simulated: a generation of random genomes, which take longer than mutants."""
    return Steps(
        propose=measured.propose[0].seconds(cores),
        select=measured.select[0].seconds(cores),
        begin=begin.job,
        finish=measured.finish,
        start=start,
        warm=warm,
        candidate=candidate,
        drawing=measured.propose[0].together(cores),
        step=begin.step,
        read=measured.read,
        request=request,
        cores=min(cores, MOST),
    )


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
