"""What an evaluation costs, beside the loop that one would write (benchmarks/plain_loop.py).

    python benchmarks/evaluation.py [--images cifar10.zip] [--paper] [--threads 1] …

For scikit-learn's digits and, with ``--images`` (a folder or zip of CIFAR-10's images), for small
CIFAR-10, under the quickstart's protocols: core-seconds of one evaluation by both, interleaved, and
whether both find the same fitness, over baselines and random genomes that pass the integrity check.
``--paper`` times some steps of the paper's protocols and extrapolates. A GPU, where there is one,
times by the clock on the wall.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

import torch
from plain_loop import PlainLoop
from rich.console import Console
from rich.progress import Progress
from scipy.stats import t as student

from evoptim.config import Protocol, SamplingProbabilities
from evoptim.config.presets import (
    paper_evolution_protocol,
    paper_init_protocol,
    quickstart_protocol,
)
from evoptim.integrity import check_integrity
from evoptim.optim.baselines import BASELINES, make_baseline
from evoptim.sampling import sample_genome
from evoptim.steps.evaluate import make_evolved
from evoptim.tasks import Split, load_task
from evoptim.training import MakeOptimizer, evaluate
from evoptim.training.epoch import train_epoch
from evoptim.training.isolation import isolated
from evoptim.training.meter import Meter
from evoptim.training.setting import prepare

TIMED = ("sgd", "adamw")
"""Baselines that are evaluated more than once for their time."""
WARM_UP, STEPS = 2, 6
"""Steps of the paper's protocols before and in each timing."""


@dataclass(frozen=True)
class Compared:
    """One candidate, by both loops."""

    name: str
    ours: float | None
    """Fitness; None where it failed."""
    plain: float | None
    seconds: tuple[float, float]
    """Of ours and of the plain loop: medians over repeats."""


def candidates(count: int) -> list[tuple[str, MakeOptimizer]]:
    """The baselines, and random genomes that pass the integrity check."""
    found: list[tuple[str, MakeOptimizer]] = [
        (name, partial(make_baseline, name)) for name in BASELINES
    ]
    rng = Random(0)
    while len(found) < count:
        genome = sample_genome(rng, SamplingProbabilities())
        integrity = check_integrity(genome)
        if integrity.passes:
            signed = genome.with_sign(integrity.sign)
            found.append((signed.id, partial(make_evolved, signed.to_json())))
    return found[:count]


def compare(
    protocol: Protocol, split: Split, count: int, repeats: int, threads: int, tick: Tick
) -> list[Compared]:
    loop = PlainLoop(protocol, split)
    rows = []
    for name, make in candidates(count):
        ours: list[tuple[Any, float]] = []
        plain: list[tuple[Any, float]] = []
        for repeat in range(repeats if name in TIMED else 1):
            calls: list[tuple[list[tuple[Any, float]], Callable[[], float | None]]] = [
                (ours, partial(_ours, name, make, protocol, split)),
                (plain, partial(_plain, loop, make, threads)),
            ]
            for results, call in calls if repeat % 2 == 0 else reversed(calls):
                results.append(timed(call))
        seconds = tuple(statistics.median(each for _, each in side) for side in (ours, plain))
        rows.append(Compared(name, ours[0][0], plain[0][0], seconds))  # type: ignore[arg-type]
        tick()
    return rows


Tick = Callable[[], None]


def _ours(name: str, make: MakeOptimizer, protocol: Protocol, split: Split) -> float | None:
    return evaluate(name, make, protocol, split).fitness


def _plain(loop: PlainLoop, make: MakeOptimizer, threads: int) -> float | None:
    with isolated():
        torch.set_num_threads(threads)
        return loop.evaluate(make)


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """The result, and the core-seconds (with a GPU: seconds) that it took."""
    clock = time.monotonic if torch.cuda.is_available() else time.process_time
    began = clock()
    return call(), clock() - began


def report(rows: Sequence[Compared], console: Console) -> None:
    console.print(f"{'candidate':18} {'ours':>8} {'plain':>8} {'ours s':>8} {'plain s':>8} ratio")
    for row in rows:
        console.print(
            f"{row.name:18} {_percent(row.ours):>8} {_percent(row.plain):>8} "
            f"{row.seconds[0]:8.2f} {row.seconds[1]:8.2f} {row.seconds[1] / row.seconds[0]:5.2f}"
        )
    ratios = [row.seconds[1] / row.seconds[0] for row in rows]
    low, middle, high = statistics.quantiles(ratios, n=4)
    console.print(
        f"seconds per evaluation: ours {statistics.median(row.seconds[0] for row in rows):.2f}, "
        f"plain {statistics.median(row.seconds[1] for row in rows):.2f} (medians); "
        f"plain / ours: median {middle:.2f}, quartiles {low:.2f} to {high:.2f}"
    )
    both = [row for row in rows if row.ours is not None and row.plain is not None]
    split = sum((row.ours is None) != (row.plain is None) for row in rows)
    if len(both) < 2:
        console.print("too few candidates trained to compare their fitness")
        return
    differences = [100 * (row.ours - row.plain) for row in both]  # type: ignore[operator]
    error = statistics.stdev(differences) / math.sqrt(len(both))
    half = float(student.ppf(0.975, len(both) - 1)) * error
    mean = statistics.mean(differences)
    console.print(
        f"fitness, ours - plain, of {len(both)} that train: mean {mean:+.3f} points, "
        f"95 % interval {mean - half:+.3f} to {mean + half:+.3f}; "
        f"failed by one loop only: {split} of {len(rows)}"
    )


def extrapolate(protocol: Protocol, split: Split, repeats: int, threads: int) -> tuple[float, ...]:
    """Seconds of a whole evaluation by AdamW, from some steps and one validation of each loop."""
    make = partial(make_baseline, "adamw")
    schedule, seed = protocol.training.schedule, protocol.seeds[0]
    setting, loop, meter = prepare(protocol, split, make, "auto"), None, Meter(protocol, None)
    loop = PlainLoop(protocol, split)
    ours, plain = [], []
    with isolated():
        torch.set_num_threads(threads)
        network = setting.network(seed)
        optimizer, batches = setting.optimizer(network, 1e-3, schedule), setting.batches(seed)
        theirs = loop.begin(make, 1e-3, schedule, seed)
        train_epoch(network, optimizer, batches, WARM_UP, meter)
        loop.epoch(*theirs, WARM_UP)
        for _ in range(repeats):
            ours.append(timed(lambda: train_epoch(network, optimizer, batches, STEPS, meter))[1])
            plain.append(timed(lambda: loop.epoch(*theirs, STEPS))[1])
    return tuple(statistics.median(side) / STEPS * protocol.most_steps for side in (ours, plain))


def _percent(share: float | None) -> str:
    return "failed" if share is None else f"{100 * share:.2f} %"


def _of_images(protocol: Protocol, images: str) -> Protocol:
    return protocol.model_copy(update={"task": protocol.task.model_copy(update={"data": images})})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", help="folder or zip of CIFAR-10's images")
    parser.add_argument("--paper", action="store_true", help="time the paper's protocols; --images")
    parser.add_argument("--threads", type=int, default=1, help="of the plain loop; ours takes one")
    parser.add_argument("--repeats", type=int, default=3, help=f"timings of {', '.join(TIMED)}")
    parser.add_argument("--candidates", type=int, default=20)
    options = parser.parse_args()
    if options.paper and options.images is None:
        parser.error("--paper needs --images")
    console = Console()
    protocols = {"digits": quickstart_protocol()}
    if options.images is not None:
        protocols["small CIFAR-10"] = _of_images(quickstart_protocol("cifar10"), options.images)
    with Progress(console=Console(stderr=True)) as progress:
        for name, protocol in protocols.items():
            task = progress.add_task(name, total=options.candidates)
            split = load_task(protocol.task)
            rows = compare(
                protocol,
                split,
                options.candidates,
                options.repeats,
                options.threads,
                partial(progress.advance, task),
            )
            console.print(f"{name}, quickstart's protocol", style="bold")
            report(rows, console)
        if options.paper:
            for name, preset in (
                ("paper-init", paper_init_protocol),
                ("paper-evolution", paper_evolution_protocol),
            ):
                task = progress.add_task(name, total=1)
                protocol = _of_images(preset(), options.images)
                ours, plain = extrapolate(
                    protocol, load_task(protocol.task), options.repeats, options.threads
                )
                console.print(
                    f"{name}: {ours:,.0f} s ours, {plain:,.0f} s plain, ratio {plain / ours:.2f}; "
                    f"training only, extrapolated from {options.repeats} x {STEPS} steps to "
                    f"{protocol.most_steps:,}"
                )
                progress.advance(task)


if __name__ == "__main__":
    main()
