"""How to use the champion and how to run the search again, as text to copy."""

from __future__ import annotations

import json
import shlex

from evoptim.genome import Genome
from evoptim.report.inputs import ReportInputs


def usage(genome: Genome, rate: float, warmup_share: float) -> str:
    """Python that trains with the genome.

    Args:
        genome: the optimizer.
        rate: the peak learning rate.
        warmup_share: warm-up steps of the full training over all of its steps.
    """
    sign = "" if genome.sign == 1 else ".with_sign(-1)"
    warmup = "" if warmup_share == 0.0 else f"    warmup_steps=round({warmup_share:g} * steps),\n"
    return (
        f"from evoptim import EvolvedOptimizer, Genome\n"
        f"\n"
        f"steps = epochs * len(loader)\n"
        f"genome = Genome.parse(\n    {str(genome)!r}\n){sign}\n"
        f"optimizer = EvolvedOptimizer(\n"
        f"    model.parameters(),\n"
        f"    genome,\n"
        f"    lr={rate:g},\n"
        f"    total_steps=steps,\n"
        f"{warmup}"
        f")\n"
        f"\n"
        f"for _ in range(epochs):\n"
        f"    for images, labels in loader:\n"
        f"        optimizer.zero_grad()\n"
        f"        loss(model(images), labels).backward()\n"
        f"        optimizer.step()\n"
    )


def command(inputs: ReportInputs) -> str:
    """The command line that runs the same search."""
    return inputs.command or f"evoptim search --config run.yaml --run {shlex.quote(inputs.run)}"


def configuration(inputs: ReportInputs) -> str:
    """The whole configuration as indented JSON, which YAML readers read too."""
    return json.dumps(inputs.config.model_dump(mode="json"), indent=2, ensure_ascii=False)
