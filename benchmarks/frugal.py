"""What racing and the stopping of hopeless trainings save, and how often they are wrong.

Small searches evaluate candidates that pass the integrity check and the trial: each by the paper's
whole sweep and to the end of its training. On these records both screens are replayed, which gives
what they would have done to the last bit (tests/unit/test_training_race.py, test_hopeless.py).
Only where racing chooses another rate does it take a second training to compare fitness.

Candidates of even number are for choosing margins; the figures are of the others.

    python benchmarks/frugal.py [--data images.zip] [--candidates 120] [--store FOLDER]

Digits by default; with ``--data`` small images of CIFAR-10. A store keeps the evaluations, so that
a second call goes on where the first one ended.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from statistics import fmean, stdev

from scipy.stats import binomtest, t

from evoptim import steps
from evoptim.config import Hopeless, Protocol, Racing, RunConfig, Sweep, preset
from evoptim.config.presets import quickstart_protocol
from evoptim.evolution import bars, best_so_far
from evoptim.records import Candidate, Evaluation, Outcome, Population, Probe
from evoptim.steps.evaluate import make_evolved
from evoptim.steps.reading import read_candidates, read_population
from evoptim.store import Stage, Store, load, open_store
from evoptim.store.layout import evaluation_key
from evoptim.tasks import load_task
from evoptim.training import evaluate
from evoptim.training.hopeless import with_bars
from evoptim.training.probe import recorded
from evoptim.training.sweep import Swept, choose_rate

GENERATIONS = 4
MARGINS = tuple(
    margins
    for margins in product(
        (0.02, 0.03, 0.04, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3),
        (0.01, 0.02, 0.03, 0.05, 0.1, 0.15),
        (0.01, 0.02, 0.03, 0.05),
    )
    if margins[0] >= margins[1] >= margins[2]
)
AT_MOST = 0.5
"""Share of the sweep's steps that a race may take."""
HOPELESS = tuple(
    Hopeless(margin=margin, quantile=quantile, grace=grace)
    for quantile, grace, margin in product((0.0, 0.5), (0.0, 0.25, 0.5), (0.6, 0.7, 0.8, 0.9))
)


@dataclass(frozen=True)
class Judged:
    """A candidate with its whole evaluation."""

    number: int
    candidate: Candidate
    evaluation: Evaluation
    demanded: Population | None
    """The population before it, whose particles have their curves; None in generation 0."""
    chosen: bool
    """Whether its line took it."""

    @property
    def measures(self) -> bool:
        """Whether it gives figures, rather than choosing margins."""
        return self.number % 2 == 1


def full_config(data: Path | None, seed: int) -> RunConfig:
    """A small search that races nothing and stops nothing."""
    config = preset("quickstart", "digits" if data is None else "cifar10")
    search = config.search.model_copy(
        update={"initial": 40, "particles": 5, "children": 4, "generations": GENERATIONS}
    )
    protocol = config.protocol
    task = protocol.task if data is None else protocol.task.model_copy(update={"data": str(data)})
    sweep = protocol.sweep.model_copy(update={"racing": None})
    return config.model_copy(
        update={
            "seed": seed,
            "search": search,
            "protocol": protocol.model_copy(update={"task": task, "sweep": sweep}),
            "screens": config.screens.model_copy(update={"hopeless": None, "duplicates": False}),
            "baselines": (),
        }
    )


def searched(url: str, data: Path | None) -> Iterator[Judged]:
    """The candidates of one search after the other, those that the trial refuses left out."""
    store, seed, number = open_store(url), 0, 0
    while True:
        run = f"search-{seed}"
        steps.initialise(url, run, full_config(data, seed).model_dump_json())
        for generation in range(GENERATIONS + 1):
            for chunk in steps.propose(url, run, generation, 1):
                steps.evaluate(url, run, generation, chunk, 1)
            steps.select(url, run, generation)
            for each in _generation(store, run, generation, number):
                yield each
                number += 1
        seed += 1


def _generation(store: Store, run: str, generation: int, number: int) -> Iterator[Judged]:
    stage = Stage.generation(generation)
    before = None if generation == 0 else with_curves(store, run, generation - 1)
    after = {each.id for each in read_population(store, run, generation).particles}
    for each in read_candidates(store, run, stage).candidates:
        found = load(store, evaluation_key(run, stage, each.index), Evaluation)
        if found.outcome is not Outcome.REFUSED:
            yield Judged(number, each, found, before, each.id in after)
            number += 1


def with_curves(store: Store, run: str, generation: int) -> Population:
    """A population as it is where hopeless trainings are stopped."""
    curves = {}
    for number in range(generation + 1):
        stage = Stage.generation(number)
        for each in read_candidates(store, run, stage).candidates:
            found = load(store, evaluation_key(run, stage, each.index), Evaluation)
            curves[each.id] = best_so_far(found)
    population = read_population(store, run, generation)
    particles = tuple(
        each.model_copy(update={"curve": curves[each.id]}) for each in population.particles
    )
    return population.model_copy(update={"particles": particles})


def raced(sweep: Sweep, probes: Sequence[Probe], margins: tuple[float, ...]) -> Swept:
    """What a race with these margins makes of the probes of the whole sweep."""
    racing = sweep.model_copy(update={"racing": Racing(margins=margins)})
    return choose_rate(racing, recorded(probes))


def epochs(probes: Sequence[Probe]) -> int:
    """Epochs of probes; one that diverged is counted whole."""
    return sum(len(each.accuracies) + (each.stopped == "non-finite") for each in probes)


def share_of_steps(
    some: Sequence[Judged], sweep: Sweep, margins: tuple[float, ...]
) -> tuple[float, float]:
    """Steps of the race over those of the sweep, and the share of candidates of the same rate."""
    races = [raced(sweep, each.evaluation.probes, margins) for each in some]
    took = sum(epochs(each.probes) for each in races)
    whole = sum(epochs(each.evaluation.probes) for each in some)
    same = [
        race.rate == each.evaluation.rate
        for race, each in zip(races, some, strict=True)
        if each.evaluation.rate is not None
    ]
    return took / whole, fmean(same)


def interval(count: int, of: int) -> str:
    """A share with its 95 % interval (Wilson)."""
    low, high = binomtest(count, of).proportion_ci(method="wilson")
    return f"{count / of:.1%} ({low:.1%} to {high:.1%}) of {of}"


def racing_report(judged: Sequence[Judged], protocol: Protocol, default: tuple[float, ...]) -> None:
    """Margins on the candidates that choose, and what the preset's do to the others."""
    sweep = protocol.sweep
    some = [each for each in judged if not each.measures]
    print(f"racing, margins by the {len(some)} candidates that choose:")
    print("    margins             steps   same rate")
    found = [(margins, *share_of_steps(some, sweep, margins)) for margins in {*MARGINS, default}]
    found = [each for each in found if each[1] <= AT_MOST or each[0] == default]
    best = sorted(found, key=lambda each: (-each[2], each[1]))
    for margins, took, same in [*best[:8], *(each for each in best[8:] if each[0] == default)]:
        mark = "  the preset's" if margins == default else ""
        print(f"    {margins!s:18} {took:6.1%}   {same:6.1%}{mark}")
    rest = [each for each in judged if each.measures]
    took, _ = share_of_steps(rest, sweep, default)
    trained = [each for each in rest if each.evaluation.rate is not None]
    differences = [difference(each, protocol, default) for each in trained]
    same = sum(each is None for each in differences)
    print(f"racing with {default}, the others:")
    whole = _whole(rest, protocol, default)
    print(f"    steps of the sweep: {took:.1%} (of whole evaluations: {whole})")
    print(f"    same rate: {interval(same, len(trained))}")
    gains = [each or 0.0 for each in differences]
    half = t.ppf(0.975, len(gains) - 1) * stdev(gains) / math.sqrt(len(gains))
    print(
        f"    fitness, race minus sweep: {100 * fmean(gains):+.2f} points "
        f"({100 * (fmean(gains) - half):+.2f} to {100 * (fmean(gains) + half):+.2f}); "
        f"where rates differ {', '.join(f'{100 * each:+.1f}' for each in differences if each)}"
    )


def _whole(some: Sequence[Judged], protocol: Protocol, margins: tuple[float, ...]) -> str:
    left_out = sum(
        epochs(each.evaluation.probes)
        - epochs(raced(protocol.sweep, each.evaluation.probes, margins).probes)
        for each in some
    )
    whole = sum(each.evaluation.steps for each in some)
    return f"{1 - left_out * protocol.sweep.steps_per_epoch / whole:.1%}"


def difference(each: Judged, protocol: Protocol, margins: tuple[float, ...]) -> float | None:
    """Fitness of a real race minus that of the sweep; None where the rate is the same."""
    expected = raced(protocol.sweep, each.evaluation.probes, margins)
    if expected.rate == each.evaluation.rate:
        return None
    gene = each.candidate.gene
    assert gene is not None
    racing = protocol.sweep.model_copy(update={"racing": Racing(margins=margins)})
    found = evaluate(
        each.candidate.id,
        lambda params, lr, schedule: make_evolved(gene, params, lr, schedule),
        protocol.model_copy(update={"sweep": racing}),
        load_task(protocol.task),
        device="cpu",
    )
    if found.probes != expected.probes:
        sys.exit(f"the race of {each.candidate.id} is not what its replay said")
    # A failed training counts as one that knows nothing.
    return (found.fitness or 0.0) - (each.evaluation.fitness or 0.0)


def hopeless_report(judged: Sequence[Judged], protocol: Protocol) -> None:
    """Margins on the children that choose, and what the default does to the others."""
    children = [each for each in judged if each.demanded is not None]
    for title, some in (
        ("the children that choose", [each for each in children if not each.measures]),
        ("the others", [each for each in children if each.measures]),
    ):
        print(f"hopeless trainings, {title} ({len(some)}):")
        print("    quantile  grace margin   stopped   false stops   training steps saved")
        for spec in HOPELESS:
            _hopeless_line(spec, some, protocol)


def _hopeless_line(spec: Hopeless, some: Sequence[Judged], protocol: Protocol) -> None:
    stopped = false = spent = whole = 0
    for each in some:
        assert each.demanded is not None
        demanded = bars(spec, each.demanded, protocol.training.epochs)
        found = with_bars(each.evaluation, protocol.training, demanded)
        whole += sum(training.steps for training in each.evaluation.trainings)
        spent += sum(training.steps for training in found.trainings)
        if found.outcome is Outcome.STOPPED:
            stopped += 1
            false += each.chosen
    mark = "  default" if spec == Hopeless() else ""
    print(
        f"    {spec.quantile:8} {spec.grace:6} {spec.margin:6}   {stopped:7}   "
        f"{false}: {interval(false, len(some))}   {1 - spent / whole:6.1%}{mark}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, help="CIFAR-10: a folder or zip of images")
    parser.add_argument(
        "--candidates", type=int, default=120, help="at least this many, 40 or more"
    )
    parser.add_argument("--store", type=Path, help="a folder that keeps the evaluations")
    arguments = parser.parse_args()
    if arguments.candidates < 40:
        parser.error(f"--candidates must be at least 40, got {arguments.candidates}")
    with tempfile.TemporaryDirectory() as folder:
        url = str(arguments.store or folder)
        judged = list(islice(searched(url, arguments.data), arguments.candidates))
        protocol = full_config(arguments.data, 0).protocol
        racing = quickstart_protocol(protocol.task.name).sweep.racing
        assert racing is not None
        racing_report(judged, protocol, racing.margins)
        hopeless_report(judged, protocol)


if __name__ == "__main__":
    main()
