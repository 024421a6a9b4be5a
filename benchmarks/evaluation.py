"""What an evaluation costs and how far the baselines get under a preset's protocol.

Run ``python benchmarks/evaluation.py``, or for another task
``python benchmarks/evaluation.py cifar10 path/to/images.zip``.
``python benchmarks/evaluation.py --steps`` times one training step in both memory formats.
"""

from __future__ import annotations

import sys
import time
from functools import partial

import torch
from torch.nn import functional

from evoptim.config.presets import quickstart_protocol
from evoptim.optim.baselines import BASELINES, make_baseline
from evoptim.tasks import load_task
from evoptim.training import evaluate
from evoptim.training.isolation import isolated
from evoptim.training.setting import prepare


def evaluations(task: str, data: str | None) -> None:
    protocol = quickstart_protocol(task)  # type: ignore[arg-type]
    task = protocol.task.model_copy(update={"data": data})
    protocol = protocol.model_copy(update={"task": task, "test": True})
    split = load_task(protocol.task)
    print(f"{'baseline':10} {'validation':>10} {'test':>8} {'rate':>6} {'steps':>6} {'core s':>7}")
    for name in BASELINES:
        began = time.process_time()
        record = evaluate(name, partial(make_baseline, name), protocol, split, device="cpu")
        seconds = time.process_time() - began
        print(
            f"{name:10} {_percent(record.fitness):>10} {_percent(record.test_accuracy):>8} "
            f"{record.rate or 0:6g} {record.steps:6} {seconds:7.2f}"
        )


def steps(count: int = 500) -> None:
    """Milliseconds of forward and backward pass, channels last (ours) or first."""
    protocol = quickstart_protocol()
    setting = prepare(protocol, load_task(protocol.task), partial(make_baseline, "sgd"), "cpu")
    for name, layout in 3 * (("last", torch.channels_last), ("first", torch.contiguous_format)):
        with isolated():
            network = setting.network(0).to(memory_format=layout)  # type: ignore[call-overload]
            inputs, labels = next(setting.batches(0))
            inputs = inputs.clone(memory_format=layout)
            began = time.process_time()
            for _ in range(count):
                functional.cross_entropy(network(inputs), labels).backward()  # type: ignore[no-untyped-call]
            milliseconds = (time.process_time() - began) / count * 1e3
        print(f"channels {name}: {milliseconds:.2f} ms")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments == ["--steps"]:
        steps()
    else:
        task, data = arguments or ("digits", "")
        evaluations(task, data or None)
