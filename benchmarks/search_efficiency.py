"""What a search finds for its training: ours, the paper's settings and random search.

All arms may spend the same number of optimizer steps under each seed; a candidate that a trial
screens is charged for it. What an arm holds at a checkpoint is the best candidate by its own
fitness, and its quality is measured afterwards, under seeds that no search has seen: a search's own
best is the luckiest of many.

    python benchmarks/search_efficiency.py --out FOLDER [--task cifar10 --data cifar10-images.zip]

Everything is kept in FOLDER, a store: kill it and start it again at any time, with more ``--seeds``
or a larger ``--budget``. Arms share first candidates and evaluations where their protocols agree.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from best_so_far import Curves, Found, after_finals, incumbents, mean_interval, speed
from efficiency_arms import ARMS, BAR, UNIT, scale
from efficiency_figure import efficiency_figure
from known_rate import at_known_rate
from rich.console import Console
from rich.progress import track

from evoptim import steps
from evoptim.config import Protocol, RunConfig
from evoptim.config.protocol import TaskName
from evoptim.evolution.select import merit
from evoptim.orphan import end_with_parent
from evoptim.records import Candidate, Evaluation
from evoptim.steps.evaluate import make_evolved
from evoptim.steps.reading import read_candidates, stage_protocol
from evoptim.store import Stage, Store, load, open_store, save
from evoptim.store.layout import evaluation_key, shared_evaluation_key
from evoptim.tasks import load_task
from evoptim.training import evaluate

CHECKPOINTS = 20
FRESH_SEEDS = (1_000, 1_001, 1_002, 1_003)
"""Under which the held candidates are trained again."""
TRIAL_STEPS = 50
"""What a trial is charged: it takes as many core-seconds as so many steps of training."""


# --- one search ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """What all searches share."""

    store: str
    task: TaskName
    data: str | None
    budget: int

    def config(self, arm: str, seed: int) -> RunConfig:
        config = ARMS[arm].make(self.task, self.budget)
        task = config.protocol.task.model_copy(update={"data": self.data})
        protocol = config.protocol.model_copy(update={"task": task})
        return config.model_copy(update={"seed": seed, "protocol": protocol, "baselines": ()})

    def run(self, arm: str, seed: int) -> str:
        # Arms that differ in their finals alone are the same search.
        name = ARMS[arm].make.__name__.replace("_", "-")
        return f"{self.task}-{name}-{scale(self.budget)}-s{seed}"

    @property
    def checkpoints(self) -> list[float]:
        return [self.budget * (each + 1) / CHECKPOINTS for each in range(CHECKPOINTS)]


@dataclass(frozen=True)
class Searched:
    """What a search did for its budget."""

    found: tuple[Found, ...]
    rates: dict[str, float]
    """By subject, as its sweep chose them."""
    genes: dict[str, Mapping[str, object]]
    screened: int
    failed: int


def search(plan: Plan, arm: str, seed: int) -> Searched:
    """Run the steps of a search, one candidate after the other, until its budget is spent."""
    run, config = plan.run(arm, seed), plan.config(arm, seed)
    steps.initialise(plan.store, run, config.model_dump_json())
    store = open_store(plan.store)
    found: list[Found] = []
    rates: dict[str, float] = {}
    genes: dict[str, Mapping[str, object]] = {}
    spent, failed, screened = 0.0, 0, 0
    for candidate, evaluation in _evaluated(plan.store, store, run, config):
        cost = evaluation.steps + (TRIAL_STEPS if config.screens.trial else 0)
        spent += cost
        if spent > plan.budget:
            break
        failed += evaluation.outcome.failed
        screened += evaluation.outcome.value == "refused"
        worth = None
        if evaluation.fitness is not None and evaluation.rate is not None:
            worth = merit(evaluation.fitness, evaluation.validation_loss)
            rates[candidate.id] = evaluation.rate
            genes[candidate.id] = dict(candidate.gene or {})
        found.append(Found(candidate.id, cost, worth))
    return Searched(tuple(found), rates, genes, screened, failed)


def _evaluated(
    url: str, store: Store, run: str, config: RunConfig
) -> Iterator[tuple[Candidate, Evaluation]]:
    for generation in range(config.search.generations + 1):
        steps.propose(url, run, generation, 1)
        stage = Stage.generation(generation)
        for candidate in read_candidates(store, run, stage).candidates:
            if candidate.same_as is not None:
                continue  # a duplicate costs nothing, and is as good as its twin was
            steps.evaluate(url, run, generation, candidate.index, 1)
            yield candidate, load(store, evaluation_key(run, stage, candidate.index), Evaluation)
        steps.select(url, run, generation)


def champions(plan: Plan, arm: str, seed: int, searched: Searched) -> list[str | None]:
    """Whom the search would have named at each checkpoint."""
    config = plan.config(arm, seed)
    if not ARMS[arm].holds_finals:
        return incumbents(searched.found, plan.checkpoints)
    spec, protocol = config.finals, stage_protocol(config, Stage.finals())

    def enter(subject: str) -> tuple[float, float | None]:
        met = _evaluation(plan, searched, subject, protocol)
        return met.steps, met.fitness

    return after_finals(searched.found, plan.checkpoints, spec.candidates, enter)


def _evaluation(plan: Plan, searched: Searched, subject: str, protocol: Protocol) -> Evaluation:
    store = open_store(plan.store)
    key = shared_evaluation_key(subject, protocol.content_id())
    if not store.exists(key):
        make = partial(make_evolved, searched.genes[subject])
        save(store, key, evaluate(subject, make, protocol, load_task(protocol.task), device="cpu"))
    return load(store, key, Evaluation)


def fresh_quality(plan: Plan, searched: Searched, subject: str, protocol: Protocol) -> float:
    """Validation accuracy of a candidate under fresh seeds, at the rate that its search chose."""
    fresh = at_known_rate(protocol, searched.rates[subject], FRESH_SEEDS)
    return _evaluation(plan, searched, subject, fresh).fitness or 0.0


@dataclass(frozen=True)
class Curve:
    """Quality under fresh seeds of what one search held at every checkpoint."""

    arm: str
    seed: int
    quality: tuple[float, ...]
    own: float
    """The fitness that the search itself saw of what it held at the end."""
    candidates: int
    screened: int
    failed: int


def curve(plan: Plan, arm: str, seed: int) -> Curve:
    with redirect_stdout(None):  # steps print a line for each candidate
        searched = search(plan, arm, seed)
        held = champions(plan, arm, seed, searched)
    protocol = plan.config(arm, seed).protocol
    quality = [
        0.0 if each is None else fresh_quality(plan, searched, each, protocol) for each in held
    ]
    best = min((each.merit for each in searched.found if each.merit), default=(0.0, 0.0))
    return Curve(
        arm,
        seed,
        tuple(quality),
        -best[0],
        len(searched.found),
        searched.screened,
        searched.failed,
    )


# --- all of them ---------------------------------------------------------------------------------


def curves(plan: Plan, arms: Sequence[str], seeds: int, workers: int) -> Iterator[Curve]:
    """Seed by seed, so that whoever stops early has whole comparisons."""
    jobs = [(arm, seed) for seed in range(seeds) for arm in arms]
    if workers == 1:
        _start(parent=False)
        yield from (curve(plan, *job) for job in jobs)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_start) as pool:
        futures = [pool.submit(curve, plan, *job) for job in jobs]
        for future in as_completed(futures):
            yield future.result()


def _start(*, parent: bool = True) -> None:
    torch.set_num_threads(1)
    if parent:
        end_with_parent()


def by_arm(found: Sequence[Curve], arms: Sequence[str]) -> dict[str, list[Curve]]:
    return {
        arm: sorted((each for each in found if each.arm == arm), key=lambda each: each.seed)
        for arm in arms
    }


def _matrix(arm: Sequence[Curve]) -> Curves:
    return np.array([each.quality for each in arm])


def table(found: Mapping[str, Sequence[Curve]], shares: Sequence[float]) -> list[str]:
    head = "fresh seeds (95 %)"
    lines = [
        f"{'arm':34} {head:26} {'own max':>8} {'candidates':>10} {'refused':>8} {'failed':>7}   "
        "share of the steps for what the paper's settings reach (95 %)"
    ]
    bar = _matrix(found[BAR]) if BAR in found else None
    for arm, rows in found.items():
        matrix = _matrix(rows)
        end = mean_interval(matrix[:, -1])
        words = f"{100 * end.value:.2f} ({100 * end.low:.2f} to {100 * end.high:.2f})"
        means = (
            np.mean([getattr(each, name) for each in rows])
            for name in ("own", "candidates", "screened", "failed")
        )
        own, candidates, screened, failed = means
        needed = ""
        if bar is not None:
            got = speed(matrix, bar, shares)
            needed = (
                f"{got.share:.2f} ({got.low:.2f} to {got.high:.2f}), "
                f"at most half in {got.chance_of_half:.0%} of resamples"
            )
        lines.append(
            f"{arm:34} {words:26} {100 * own:8.2f} {candidates:10.1f} {screened:8.1f} "
            f"{failed:7.1f}   {needed}"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder in which all is kept")
    parser.add_argument("--task", choices=("digits", "cifar10"), default="digits")
    parser.add_argument("--data", help="folder or zip of CIFAR-10's images")
    parser.add_argument("--budget", type=int, default=UNIT, help=f"optimizer steps ({UNIT})")
    parser.add_argument("--seeds", type=int, default=10, help="searches of each arm (10)")
    parser.add_argument("--arms", nargs="*", default=list(ARMS), choices=ARMS, metavar="ARM")
    parser.add_argument("--workers", type=int, default=1, help="processes (1)")
    parser.add_argument("--figure", type=Path, help="SVG file to write")
    options = parser.parse_args()
    plan = Plan(str(options.out), options.task, options.data, options.budget)
    jobs = options.seeds * len(options.arms)
    done = track(
        curves(plan, options.arms, options.seeds, options.workers),
        "searching",
        total=jobs,
        console=Console(stderr=True),
    )
    found = by_arm(list(done), options.arms)
    shares = [each / plan.budget for each in plan.checkpoints]
    print(f"{plan.task}: {plan.budget} steps, {options.seeds} seeds")
    print("\n".join(table(found, shares)))
    if options.figure is not None:
        drawn = efficiency_figure(
            {arm: _matrix(rows) for arm, rows in found.items()}, plan.checkpoints
        )
        options.figure.write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main()
