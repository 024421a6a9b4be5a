"""What one optimizer step costs: the zoo and 20 random genomes beside ``torch.optim.AdamW``.

On the weights of a ResNet-50 and of a small transformer (6 layers, width 512, 32 000 words), every
optimizer takes steps with the interpreter and with ``fused=True``, in turn with AdamW's plain,
foreach and fused paths. A ratio is the median over rounds of the quotient within a round, so that
what else the machine does meets both sides.

Equal state: a step must read gradient, weight and k state tensors and write all but the gradient,
(3 + 2 k) passes over memory; AdamW has k = 2 and makes 7. An equal-state ratio is the time over
AdamW's time x (3 + 2 k) / 7. Bars: interpreter <= 2 x AdamW foreach and fused <= 1.2 x AdamW fused,
both at equal state.

GB/s are these unavoidable bytes over the time; the machine's own is that of copying a tensor, whose
target is fetched too before it is overwritten: what works in place can be up to half as fast again.
Extra memory is the peak during a step above weights, gradients and state, in units of the weights.

    python benchmarks/step_time.py [--quick] [--rounds N] [--threads N] [--only NAME]
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import torch
from rich.progress import Progress
from torch import Tensor
from torch.nn import Parameter
from torch.optim import AdamW, Optimizer

from evoptim import EvolvedOptimizer, zoo
from evoptim.config import SamplingProbabilities
from evoptim.genome import Genome
from evoptim.integrity import check_integrity
from evoptim.sampling import sample_genome

INTERPRETER_BAR, FUSED_BAR = 2.0, 1.2
GENOMES = 20
# So small that the weights stay what they are; schedules and decays cost what they always cost.
SETTINGS = {"lr": 1e-9, "total_steps": 100_000}

COLUMNS = f"{'ms':>8} {'raw':>6} {'equal':>6} {'bar':>6} {'extra':>10}"

Shapes = list[tuple[int, ...]]


def resnet50() -> Shapes:
    """161 tensors, 25.6 million weights."""
    shapes: Shapes = [(64, 3, 7, 7), (64,), (64,)]
    channels = 64
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            convolutions = [(width, channels, 1, 1), (width, width, 3, 3), (4 * width, width, 1, 1)]
            if block == 0:
                convolutions.append((4 * width, channels, 1, 1))
            for each in convolutions:
                shapes += [each, (each[0],), (each[0],)]
            channels = 4 * width
    return [*shapes, (1000, 2048), (1000,)]


def transformer(width: int = 512, layers: int = 6, words: int = 32_000) -> Shapes:
    """75 tensors, 35.6 million weights."""
    norm: Shapes = [(width,), (width,)]
    attention: Shapes = [(3 * width, width), (3 * width,), (width, width), (width,)]
    network: Shapes = [(4 * width, width), (4 * width,), (width, 4 * width), (width,)]
    return [(words, width), *layers * [*norm, *attention, *norm, *network], *norm]


def small() -> Shapes:
    return 4 * [(512, 512), (512,)]


def genomes(count: int) -> Iterator[tuple[str, Genome]]:
    """The first random genomes that pass the integrity check."""
    seed = 0
    while count:
        genome = sample_genome(Random(seed), SamplingProbabilities())
        result = check_integrity(genome)
        if result.passes:
            yield f"random{seed}", genome.with_sign(result.sign)
            count -= 1
        seed += 1


Make = Callable[..., Optimizer]
Clock = Callable[[], float]


def subjects(quick: bool, only: str | None) -> dict[str, Make]:
    """Name -> ``make(weights, fused=...)``."""
    found: dict[str, Make] = {
        name: lambda weights, fused, name=name: zoo.create(  # type: ignore[misc]
            name, weights, decay=True, fused=fused, **SETTINGS
        )
        for name in zoo.names()
    }
    for name, genome in genomes(4 if quick else GENOMES):
        found[name] = lambda weights, fused, genome=genome: EvolvedOptimizer(  # type: ignore[misc]
            weights, genome, fused=fused, **SETTINGS
        )
    return {name: make for name, make in found.items() if only in (None, name)}


def state_tensors(optimizer: Optimizer, weight: Tensor) -> int:
    """How many tensors of the weight's size the optimizer keeps for it."""
    return sum(
        each.shape == weight.shape
        for name, each in optimizer.state[weight].items()
        if name != "step"
    )


def alternate(
    work: dict[str, Callable[[], object]], rounds: int, clock: Clock
) -> dict[str, list[float]]:
    """Seconds of each, in turn, after one round that warms up."""
    for each in work.values():
        each()
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, each in work.items():
            began = clock()
            each()
            times[name].append(clock() - began)
    return times


def copying(size: int, rounds: int, clock: Clock) -> float:
    """Bytes a second."""
    source, target = torch.randn(size), torch.empty(size)
    times = alternate({"copy": lambda: target.copy_(source)}, rounds, clock)
    return 8 * size / statistics.median(times["copy"])


def ratio(times: dict[str, list[float]], name: str, reference: str) -> float:
    pairs = zip(times[name], times[reference], strict=True)
    return statistics.median(one / other for one, other in pairs)


def extra_memory(step: Callable[[], object]) -> int | None:
    """Bytes of the process's peak during a step above what it had before; None if unknown."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        gc.collect()
        # Freed memory goes back to the system, where the peak would not show its use again.
        libc.mallopt(-3, 128 * 1024)
        libc.malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
        step()
        return _status("VmHWM") - before
    return None


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def bench(name: str, shapes: Shapes, made: dict[str, Make], rounds: int, clock: Clock) -> bool:
    """Measure one set of weights, print its table; whether all bars are met."""
    torch.manual_seed(0)
    weights = [Parameter(torch.randn(shape) * 0.05) for shape in shapes]
    for weight in weights:
        weight.grad = torch.randn_like(weight) * 0.01
    size = sum(weight.numel() for weight in weights)
    paths = {"plain": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}
    adam = {path: AdamW(weights, lr=1e-9, **flags) for path, flags in paths.items()}  # type: ignore[arg-type]
    bandwidth = copying(size, rounds, clock)
    own = alternate({path: each.step for path, each in adam.items()}, rounds, clock)
    print(f"\n{name}: {len(weights)} tensors, {size / 1e6:.1f} million weights, float32")
    print(f"copying a tensor: {bandwidth / 1e9:.1f} GB/s")
    for path in paths:
        middle = statistics.median(own[path])
        speed = 28 * size / middle
        print(
            f"AdamW {path:8} {middle * 1e3:8.1f} ms {speed / 1e9:6.1f} GB/s "
            f"({speed / bandwidth:4.0%} of copying)  extra {_share(adam[path].step, size)}"
        )
    del adam["plain"]
    print(
        f"{'':18} {'interpreter / AdamW foreach':^40}   {'fused / AdamW fused':^51}\n"
        f"{'optimizer':12} {'state':5} {COLUMNS}   {COLUMNS} {'of copying':>10}"
    )
    missed: dict[str, list[str]] = {"interpreter": [], "fused": []}
    with Progress(transient=True) as progress:
        for subject, make in progress.track(made.items(), description=name):
            mine = {"interpreter": make(weights, fused=False), "fused": make(weights, fused=True)}
            work = {"foreach": adam["foreach"].step, "adam": adam["fused"].step}
            times = alternate(
                work | {path: each.step for path, each in mine.items()}, rounds, clock
            )
            kept = state_tensors(mine["fused"], weights[0])
            line = f"{subject:12} {kept:5}"
            for path, reference, bar in (
                ("interpreter", "foreach", INTERPRETER_BAR),
                ("fused", "adam", FUSED_BAR),
            ):
                raw = ratio(times, path, reference)
                equal = raw * 7 / (3 + 2 * kept)
                if equal > bar:
                    missed[path].append(subject)
                verdict = "met" if equal <= bar else "MISSED"
                line += (
                    f" {statistics.median(times[path]) * 1e3:8.1f} {raw:6.2f} {equal:6.2f} "
                    f"{verdict:>6} {_share(mine[path].step, size):>10}  "
                )
            fastest = (12 + 8 * kept) * size / statistics.median(times["fused"])
            progress.console.print(
                line + f"{fastest / bandwidth:9.0%}", highlight=False, soft_wrap=True
            )
            del mine, work
    for path, bar in (("interpreter", INTERPRETER_BAR), ("fused", FUSED_BAR)):
        told = f"MISSED by {', '.join(missed[path])}" if missed[path] else "met by all"
        print(f"{path} <= {bar} at equal state: {told}")
    return not any(missed.values())


def _share(step: Callable[[], object], size: int) -> str:
    extra = extra_memory(step)
    return "unknown" if extra is None else f"{extra / (4 * size):.2f} x"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one small set, few genomes")
    parser.add_argument("--rounds", type=int, default=11, help="rounds a ratio is taken over")
    parser.add_argument("--threads", type=int, help="threads; all cores without it")
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="count this process's own time, for a machine that does other work too; a thread that "
        "waits for another counts as well, so use it with --threads 1",
    )
    parser.add_argument("--only", metavar="NAME", help="one optimizer, such as opt7")
    asked = parser.parse_args()
    if asked.threads:
        torch.set_num_threads(asked.threads)
    clock = time.process_time if asked.processor_time else time.perf_counter
    made = subjects(asked.quick, asked.only)
    if not made:
        parser.error(f"--only {asked.only} is not one of {', '.join(subjects(asked.quick, None))}")
    sets = (
        {"small set": small()}
        if asked.quick
        else {"ResNet-50": resnet50(), "transformer": transformer()}
    )
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {asked.rounds} rounds")
    met = [bench(name, shapes, made, asked.rounds, clock) for name, shapes in sets.items()]
    print(f"\nbars: {'met' if all(met) else 'MISSED'}")


if __name__ == "__main__":
    main()
