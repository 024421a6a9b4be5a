"""The champion as a small Python module that anyone with evoptim can import."""

from __future__ import annotations

import json
import textwrap

from evoptim.genome import Genome


def module(genome: Genome, run: str, rate: float, warmup_share: float) -> str:
    """Source of a module with ``optimizer(params, total_steps, ...)``.

    Args:
        genome: The champion.
        run: Name of the run that found it.
        rate: The peak learning rate.
        warmup_share: Warm-up steps of the full training over all of its steps.
    """
    document = textwrap.indent(json.dumps(genome.to_json(), indent=2), "    ").strip()
    return (
        f'"""The champion of the evoptim run {run}: {genome}"""\n'
        f"\n"
        f"from evoptim import EvolvedOptimizer, Genome\n"
        f"\n"
        f'GENOME = Genome.from_json(\n    r"""{document}"""\n)\n'
        f"\n"
        f"\n"
        f"def optimizer(params, total_steps, lr={rate!r}, warmup_share={warmup_share!r}):\n"
        f'    """Train ``params`` for ``total_steps`` steps; defaults are those of the run."""\n'
        f"    warmup_steps = round(warmup_share * total_steps)\n"
        f"    return EvolvedOptimizer(\n"
        f"        params, GENOME, lr=lr, total_steps=total_steps, warmup_steps=warmup_steps\n"
        f"    )\n"
    )
