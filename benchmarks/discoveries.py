"""What evoptim's own discoveries in the zoo are worth, measured again from the beginning.

Under the protocol of docs/discovery, which they were found under, each discovery and each baseline
has its rate chosen anew, by a sweep over seven decades and by full trainings half a decade beside
its choice, under two seeds. Then it is trained under ten seeds that chose nothing, and tested.
Differences are paired by seed; p is Student's, corrected after Holm over the baselines.

    python benchmarks/discoveries.py --images cifar10-images.zip --out FOLDER [--longer 4]

Everything is kept in FOLDER, a store: kill it and start it again at any time.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from evoptim import zoo
from evoptim.analysis.noise import mean_interval
from evoptim.analysis.paired import holm, paired_difference
from evoptim.config import FullTraining, Protocol, Tuning
from evoptim.config.reading import read_config
from evoptim.genome import Genome
from evoptim.optim.baselines import BASELINES, make_baseline
from evoptim.orphan import end_with_parent
from evoptim.records import Evaluation
from evoptim.steps.evaluate import make_evolved
from evoptim.store import load, open_store, save
from evoptim.store.layout import shared_evaluation_key
from evoptim.tasks import load_task
from evoptim.training import MakeOptimizer, evaluate

CONFIG = Path(__file__).resolve().parents[1] / "docs" / "discovery" / "cifar16.yaml"
DISCOVERIES = ("evo1", "evo2")
TUNING = Tuning(seeds=(501, 502))
SEEDS = tuple(range(601, 611))


@dataclass(frozen=True)
class Plan:
    store: str
    protocol: Protocol


@dataclass(frozen=True)
class Measured:
    """One optimizer at the rate that was chosen for it."""

    name: str
    rate: float
    validation: tuple[float, ...]
    test: tuple[float, ...]
    """Accuracies, one for each of ``SEEDS``."""


def longer(protocol: Protocol, times: int) -> Protocol:
    """The same with so many times the steps of its full training."""
    training = protocol.training
    schedule = training.schedule.model_copy(
        update={
            "total_steps": training.schedule.total_steps * times,
            "warmup_steps": training.schedule.warmup_steps * times,
            "hold_steps": training.schedule.hold_steps * times,
        }
    )
    changed: FullTraining = training.model_copy(
        update={"epochs": training.epochs * times, "schedule": schedule}
    )
    return protocol.model_copy(update={"training": changed})


def fresh(protocol: Protocol) -> Protocol:
    """The same under seeds that no search has seen, with test images."""
    return protocol.model_copy(update={"seeds": SEEDS, "tuning": TUNING, "test": True})


def subject(name: str) -> tuple[str, MakeOptimizer]:
    """What an evaluation is kept under, and the optimizer with its decays."""
    if name in BASELINES:
        return name, partial(make_baseline, name)
    genome = Genome.parse(zoo.OPTIMIZERS[name].decayed)  # type: ignore[attr-defined]
    return genome.id, partial(make_evolved, genome.to_json())


def trained(plan: Plan, name: str) -> Evaluation:
    store = open_store(plan.store)
    content_id, make = subject(name)
    key = shared_evaluation_key(content_id, plan.protocol.content_id())
    if not store.exists(key):
        split = load_task(plan.protocol.task)
        save(store, key, evaluate(content_id, make, plan.protocol, split, device="cpu"))
    return load(store, key, Evaluation)


def measure(plan: Plan, name: str) -> Measured:
    found = trained(plan, name)
    if found.rate is None:
        raise SystemExit(f"{name} trains at no rate of the sweep")
    return Measured(
        name,
        found.rate,
        tuple(max(each.validation_accuracy for each in one.curve) for one in found.trainings),
        tuple(each.test_accuracy or 0.0 for each in found.trainings),
    )


def all_of_them(plan: Plan, names: Sequence[str], workers: int) -> Iterator[Measured]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_start) as pool:
        yield from pool.map(partial(measure, plan), names)


def _start() -> None:
    torch.set_num_threads(1)
    end_with_parent()


def table(found: Sequence[Measured], discovery: str) -> Table:
    """All by their mean on test images, and how far the discovery leads the baselines."""
    ours = next(each for each in found if each.name == discovery)
    rivals = [each for each in found if each.name in BASELINES]
    differences = [paired_difference(ours.test, each.test) for each in rivals]
    corrected = holm([each.p_value for each in differences])
    leads = {
        each.name: (difference, p)
        for each, difference, p in zip(rivals, differences, corrected, strict=True)
    }
    shown = Table(title=f"{discovery} on {len(ours.test)} fresh seeds")
    for column in ("", "rate", "validation, %", "test, %", f"lead of {discovery}", "p"):
        shown.add_column(column, justify="right")
    for each in sorted(found, key=lambda each: -fmean(each.test)):
        lead = p = ""
        if each.name in leads:
            difference, value = leads[each.name]
            lead = f"{100 * difference.mean:+.2f}"
            if difference.interval is not None:
                low, high = difference.interval.low, difference.interval.high
                lead += f" ({100 * low:.2f} to {100 * high:.2f})"
            p = "" if value is None else f"{value:.4f}"
        validation, test = _percent(each.validation), _percent(each.test)
        shown.add_row(each.name, f"{each.rate:g}", validation, test, lead, p)
    return shown


def _percent(values: Sequence[float]) -> str:
    interval = mean_interval(values)
    mean = f"{100 * fmean(values):.2f}"
    return mean if interval is None else f"{mean} ± {100 * interval.half:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", required=True, help="folder or zip of CIFAR-10's images")
    parser.add_argument("--out", type=Path, required=True, help="folder in which all is kept")
    parser.add_argument("--longer", type=int, default=1, help="times the steps of a training (1)")
    parser.add_argument("--workers", type=int, default=1, help="processes (1)")
    options = parser.parse_args()
    config = read_config(CONFIG.read_text(), settings={"protocol.task.data": options.images})
    plan = Plan(str(options.out), fresh(longer(config.protocol, options.longer)))
    names = [*DISCOVERIES, *BASELINES]
    found = list(
        track(
            all_of_them(plan, names, options.workers),
            "training",
            total=len(names),
            console=Console(stderr=True),
        )
    )
    console = Console(width=110)
    console.print(f"{plan.protocol.training.schedule.total_steps} steps")
    for each in DISCOVERIES:
        console.print(table(found, each))


if __name__ == "__main__":
    main()
