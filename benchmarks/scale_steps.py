"""How long the steps of one generation take, measured as pods run them."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from random import Random
from unittest.mock import patch

from process_cost import Cost, import_seconds, run_step

from evoptim import steps
from evoptim.config import RunConfig
from evoptim.config.reading import read_config
from evoptim.records import Evaluation
from evoptim.steps.evaluate import make_evolved
from evoptim.steps.reading import read_candidates
from evoptim.store import Stage, load, open_store, save, to_json
from evoptim.store.layout import evaluation_key, population_key
from evoptim.tasks import load_task
from evoptim.training import evaluate
from pipelines.profile_reading import read_profile

TESTS = Path(__file__).resolve().parents[1] / "tests"
RUN = "scale"
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
