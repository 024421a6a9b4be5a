"""What a genome does on the digits, and what follows.

A perceptron learns scikit-learn's digits at the seven rates of the paper's sweep at once. Its steps
stand for the first stretch of the paper's training, over which the rate warms up: rate, momentum
and decay functions run through the values that they have there. A genome that learns the digits at
none of the rates is refused.

Source: Morgan & Hougen, arXiv 2404.06679: their protocol, and the failures in their log
(docs/decisions/0008-screens.md says how they chose the problem, and what else was tried).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from evoptim.config import TaskSpec, TrialSpec
from evoptim.config.presets import PAPER_RATES
from evoptim.genome import Genome
from evoptim.tasks import Dataset, load_task
from evoptim.training.isolation import isolated
from evoptim.trial.perceptron import Batch, Pass, Perceptrons
from evoptim.trial.step import Step
from evoptim.update import Program, compile_genome

RATES = tuple(rate for group in PAPER_RATES for rate in group)
"""Peak rates, one for each lane."""
BATCH = 32
WINDOW = 20
"""Steps over whose images a training accuracy is taken."""

# Of the digits, those that the task's default split and the preset `quickstart` test on are left
# out: test images take no part in any selection.
_IMAGES = TaskSpec(name="digits", train=1_249, validation=1, test=547)
_NETWORKS = Perceptrons(lanes=len(RATES), features=64, width=16, classes=10)


@dataclass(frozen=True)
class TrialResult:
    """The verdict on one genome."""

    passes: bool
    accuracy: float
    """Best training accuracy, a fraction, over :data:`WINDOW` steps in a row."""
    rate: float
    """The peak rate that reached it; the first one where none classified a single image."""
    steps: int
    """After how many steps the verdict was clear: once the threshold was reached, or once no lane
    gave numbers any more."""


def trial(genome: Genome | str, spec: TrialSpec | None = None) -> TrialResult:
    """Decide whether ``genome``, with the sign that it has, can be expected to train.

    On one machine the result is a function of the arguments alone, whatever the number of threads.

    Args:
        genome: What to try.
        spec: Steps and threshold; None takes the default ones.

    Raises:
        GenomeError: ``genome`` is a text that is no genome.
        InputError: scikit-learn, which brings the digits, is not installed.
    """
    if isinstance(genome, str):
        genome = Genome.parse(genome)
    spec = spec or TrialSpec()
    best, rate, taken = 0.0, RATES[0], 0
    with isolated(), torch.inference_mode():
        for accuracies in _windows(compile_genome(genome), spec.steps):
            taken += WINDOW
            top = max(accuracies)
            if top > best:
                best, rate = top, RATES[accuracies.index(top)]
            if best >= spec.threshold:
                break
    return TrialResult(best >= spec.threshold, best, rate, taken)


def _windows(program: Program, steps: int) -> Iterator[list[float]]:
    """Training accuracies of all lanes, window by window, as long as any lane gives numbers."""
    problem = _problem()
    weights = problem.weights.clone()
    networks = Pass(_NETWORKS, weights)
    step = Step(program, _NETWORKS, weights, RATES, steps)
    gradient = torch.empty_like(weights)
    for window in range(steps // WINDOW):
        right = torch.zeros(len(RATES))
        for number in range(window * WINDOW, (window + 1) * WINDOW):
            place = number % len(problem.batches)
            logits = networks.gradient(problem.batches[place], gradient)
            right += (logits.argmax(-1) == problem.labels[place]).sum(-1)
            step(number, gradient)
        yield [count / (WINDOW * BATCH) for count in right.tolist()]
        if bool(logits.isnan().all()):
            return


@dataclass(frozen=True)
class _Problem:
    """What all trials have in common."""

    batches: tuple[Batch, ...]
    labels: Tensor
    """Batches x images of a batch."""
    weights: Tensor
    """Initial ones, flat."""


def load_digits() -> Dataset:
    """The images of every trial: 1,249 of the 1,797. Decoding them takes seconds, once a cache.

    Raises:
        InputError: scikit-learn, which brings them, is not installed.
    """
    return load_task(_IMAGES).train


@functools.lru_cache(maxsize=1)
def _problem() -> _Problem:
    images = load_digits()
    count = len(images) // BATCH
    pixels = images.images[: count * BATCH].flatten(1).to(torch.float32)
    inputs = ((pixels - pixels.mean()) / pixels.std()).view(count, BATCH, -1)
    labels = images.labels[: count * BATCH].view(count, BATCH)
    targets = functional.one_hot(labels, _NETWORKS.classes).to(torch.float32)
    return _Problem(
        batches=tuple(Batch(*each) for each in zip(inputs, targets, strict=True)),
        labels=labels,
        weights=_NETWORKS.initial(torch.Generator().manual_seed(0)),
    )
