"""Which learning rates the optimizers of the zoo train at, beside torch's own.

``python benchmarks/zoo.py`` trains a small network on scikit-learn's digits at every rate of a
grid of three to a decade, under the base schedule and eight seeds, and prints for every optimizer,
with and without its decays, the best rate, the rates that do as well, and the accuracy there (ten
minutes or so on one core). ``--quick`` does it coarsely in half a minute; ``--json FILE`` keeps
what is printed and the accuracies behind it, as the pages of docs/zoo read them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import re
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor
from torch.nn import functional
from torch.optim.optimizer import Optimizer

from evoptim import zoo
from evoptim.config import ScheduleSpec, TaskSpec
from evoptim.optim.baselines import make_baseline
from evoptim.tasks import load_task, normalisation
from evoptim.training.isolation import isolated
from evoptim.training.seeds import generator

TASK = TaskSpec(name="digits", train=500, validation=1_000, test=297)
WIDTHS = (64, 64, 64, 10)
BATCH = 50
BASELINES = ("momentum", "adam", "adamw")
TOLERANCE = 0.5
"""Points of accuracy that count as none, unless the standard error of the best is larger."""


@dataclass(frozen=True)
class Setting:
    """How long, how often and at which rates."""

    steps: int
    warmup: int
    seeds: int
    rates: tuple[float, ...]


def _grid(first: int, last: int, mantissas: Sequence[int]) -> tuple[float, ...]:
    grid = [float(f"{m}e{k}") for k in range(first, last + 1) for m in mantissas]
    return tuple(rate for rate in grid if rate <= 10.0**last)


FULL = Setting(steps=300, warmup=30, seeds=8, rates=_grid(-4, 2, (1, 2, 5)))
QUICK = Setting(steps=100, warmup=10, seeds=3, rates=_grid(-4, 2, (1,)))

Make = Callable[[list[Tensor], float], Optimizer]


@dataclass(frozen=True)
class Images:
    """Normalised and flat, which a Dataset's are not."""

    pixels: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Arm:
    """One optimizer, with or without its decays."""

    name: str
    decay: bool
    make: Make

    @property
    def label(self) -> str:
        return f"{self.name} + decay" if self.decay else self.name


@dataclass(frozen=True)
class Row:
    """What the trainings of one arm gave; accuracies in percent."""

    name: str
    decay: bool
    state: int
    """Tensors of the weight's shape that it keeps for each."""
    best: float
    low: float
    high: float
    """The rates next to the best one that do as well."""
    mean: float
    deviation: float
    versus_adamw: str
    accuracies: dict[str, list[float]]
    """Of every seed, by rate."""


def arms(setting: Setting) -> Iterator[Arm]:
    """The baselines, then every optimizer of the zoo, twice where its decays change anything."""
    horizon = {"total_steps": setting.steps, "warmup_steps": setting.warmup}
    schedule = ScheduleSpec(**horizon)

    def baseline(name: str) -> Make:
        return lambda weights, rate: make_baseline(name, weights, rate, schedule)

    def of_the_zoo(name: str, decay: bool) -> Make:
        return lambda weights, rate: zoo.create(name, weights, lr=rate, decay=decay, **horizon)

    for name in BASELINES:
        yield Arm(name, False, baseline(name))
    for name in zoo.names():
        yield Arm(name, False, of_the_zoo(name, False))
        formulas = {
            of_the_zoo(name, decay)([torch.zeros(1)], 1.0).defaults["formula"]
            for decay in (False, True)
        }
        if len(formulas) > 1:
            yield Arm(name, True, of_the_zoo(name, True))


def train(
    setting: Setting, training: Images, validation: Images, make: Make, rate: float
) -> tuple[list[float], int]:
    """Validation accuracy of every seed after the last step, and the optimizer's state count.

    The networks of all seeds are trained side by side, each with weight tensors of its own.
    """
    draws = [generator(seed, "network") for seed in range(setting.seeds)]
    layers = [
        [_layer(inputs, outputs, draw) for draw in draws]
        for inputs, outputs in itertools.pairwise(WIDTHS)
    ]
    weights = [tensor for layer in layers for pair in layer for tensor in pair]
    optimizer = make(weights, rate)
    for chosen in _batches(setting, len(training.labels), draws):
        optimizer.zero_grad()
        logits = _forward(layers, training.pixels[chosen])
        loss = functional.cross_entropy(logits.flatten(0, 1), training.labels[chosen].flatten())
        # The mean over all seeds, times their number: to each network the loss is its own.
        (loss * setting.seeds).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if not any(bool(weight.isfinite().all()) for weight, _ in layers[-1]):
            break
    with torch.no_grad():
        logits = _forward(layers, validation.pixels.expand(setting.seeds, -1, -1))
    right = (logits.argmax(dim=2) == validation.labels) & logits.isfinite().all(dim=2)
    state = sum(isinstance(t, Tensor) and t.ndim > 0 for t in optimizer.state[weights[0]].values())
    return [round(100 * share, 1) for share in right.double().mean(dim=1).tolist()], state


def _layer(inputs: int, outputs: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    weight = torch.empty(inputs, outputs)
    torch.nn.init.xavier_uniform_(weight, generator=draw)
    return weight.requires_grad_(), torch.zeros(1, outputs, requires_grad=True)


def _forward(layers: list[list[tuple[Tensor, Tensor]]], images: Tensor) -> Tensor:
    """Seeds x images x pixels to seeds x images x classes."""
    values = images
    for number, layer in enumerate(layers, start=1):
        weight, bias = (torch.stack(tensors) for tensors in zip(*layer, strict=True))
        values = torch.baddbmm(bias, values, weight)
        values = values.relu() if number < len(layers) else values
    return values


def _batches(setting: Setting, images: int, draws: list[torch.Generator]) -> Iterator[Tensor]:
    """Indices, seeds x batch: every seed has an order of its own, shuffled at each pass."""
    of_a_pass = images // BATCH
    for step in range(setting.steps):
        if step % of_a_pass == 0:
            orders = torch.stack([torch.randperm(images, generator=draw) for draw in draws])
        start = step % of_a_pass * BATCH
        yield orders[:, start : start + BATCH]


def plateau(rates: Sequence[float], accuracies: Sequence[Sequence[float]]) -> tuple[int, int, int]:
    """Places of the best rate, and of the first and last around it that do as well.

    As well is: a mean within the standard error of the best one, or :data:`TOLERANCE` if more.
    """
    means = [statistics.fmean(each) for each in accuracies]
    best = max(range(len(rates)), key=means.__getitem__)
    bar = means[best] - max(TOLERANCE, _standard_error(accuracies[best]))
    low = high = best
    while low > 0 and means[low - 1] >= bar:
        low -= 1
    while high + 1 < len(rates) and means[high + 1] >= bar:
        high += 1
    return low, best, high


def _standard_error(sample: Sequence[float]) -> float:
    return statistics.stdev(sample) / math.sqrt(len(sample))


def verdict(sample: Sequence[float], reference: Sequence[float]) -> str:
    """Whether a difference of means is beyond three of its standard errors and the tolerance.

    Three, because some thirty arms are compared, each at the best of many rates.
    """
    difference = statistics.fmean(sample) - statistics.fmean(reference)
    noise = math.hypot(_standard_error(sample), _standard_error(reference))
    if abs(difference) <= max(TOLERANCE, 3 * noise):
        return "level"
    return "above" if difference > 0 else "below"


def measure(setting: Setting, console: Console) -> list[Row]:
    split = load_task(TASK)
    normalise = normalisation("standard", split)
    training, validation = (
        Images(normalise(part.images).flatten(1), part.labels)
        for part in (split.train, split.validation)
    )
    chosen = list(arms(setting))
    found: list[tuple[Arm, int, list[list[float]]]] = []
    with Progress(console=console, transient=True) as progress, isolated():
        bar = progress.add_task("training", total=len(chosen) * len(setting.rates))
        for arm in chosen:
            progress.update(bar, description=arm.label)
            accuracies = []
            for rate in setting.rates:
                sample, state = train(setting, training, validation, arm.make, rate)
                accuracies.append(sample)
                progress.advance(bar)
            found.append((arm, state, accuracies))
    tops = {arm.name: max(accuracies, key=statistics.fmean) for arm, _, accuracies in found}
    return [_row(setting, arm, state, each, tops["adamw"]) for arm, state, each in found]


def _row(
    setting: Setting,
    arm: Arm,
    state: int,
    accuracies: Sequence[list[float]],
    adamw: Sequence[float],
) -> Row:
    low, best, high = plateau(setting.rates, accuracies)
    return Row(
        name=arm.name,
        decay=arm.decay,
        state=state,
        best=setting.rates[best],
        low=setting.rates[low],
        high=setting.rates[high],
        mean=round(statistics.fmean(accuracies[best]), 2),
        deviation=round(statistics.stdev(accuracies[best]), 2),
        versus_adamw=verdict(accuracies[best], adamw),
        accuracies={
            f"{rate:g}": each for rate, each in zip(setting.rates, accuracies, strict=True)
        },
    )


def table(rows: Iterable[Row]) -> Iterator[str]:
    yield (
        f"{'optimizer':18} {'best rate':>9} {'rates as good':>15} {'accuracy':>14} "
        f"{'AdamW':>6} {'state':>5}"
    )
    for row in rows:
        label = f"{row.name} + decay" if row.decay else row.name
        good = f"{row.low:g}" if row.low == row.high else f"{row.low:g} to {row.high:g}"
        yield (
            f"{label:18} {row.best:>9g} {good:>15} {row.mean:>7.2f} ± {row.deviation:4.2f} "
            f"{row.versus_adamw:>6} {row.state:>5}"
        )


def document(setting: Setting, rows: Sequence[Row], path: Path) -> str:
    """JSON with one line for each rate, so that a change of one shows as one."""
    quick = " --quick" if setting == QUICK else ""
    content = {
        "command": f"python benchmarks/zoo.py{quick} --json {path}",
        "steps": setting.steps,
        "warmup": setting.warmup,
        "seeds": setting.seeds,
        "training_images": TASK.train,
        "validation_images": TASK.validation,
        "batch": BATCH,
        "widths": list(WIDTHS),
        "tolerance": TOLERANCE,
        "rows": [asdict(row) for row in rows],
    }
    text = json.dumps(content, indent=1)
    return _NUMBERS.sub(lambda match: f"[{' '.join(match[1].split())}]", text) + "\n"


_NUMBERS = re.compile(r"\[\s+((?:[-\d.]+,\s+)*[-\d.]+)\s+\]")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="coarse settings, seconds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the numbers there")
    arguments = parser.parse_args()
    setting = QUICK if arguments.quick else FULL
    rows = measure(setting, Console(stderr=True))
    print(
        f"digits, {TASK.train} images to train on, {TASK.validation} to validate; network "
        f"{'-'.join(map(str, WIDTHS))}; {setting.steps} steps of {BATCH} images, warm-up "
        f"{setting.warmup}; {setting.seeds} seeds.\nAccuracy: validation, percent, after the last "
        "step at the best rate, mean ± deviation over seeds.\nRates as good: within "
        f"{TOLERANCE} points (or the standard error) of it. AdamW: level unless the difference\n"
        "exceeds that and three standard errors. State: tensors per weight tensor.\n"
    )
    print("\n".join(table(rows)))
    if arguments.json is not None:
        arguments.json.write_text(document(setting, rows, arguments.json), encoding="utf-8")


if __name__ == "__main__":
    main()
