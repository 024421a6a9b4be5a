"""evoptim discovers deep-learning optimizers.

It evolves the weight-update equation, the decay functions inside it and the learning-rate schedule
together, trains every candidate for real, and runs as a Kubeflow pipeline, on a laptop or a
cluster. Every verb of the command line is one plain call here.
"""

from __future__ import annotations

import importlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evoptim import zoo
    from evoptim.config import preset
    from evoptim.config.reading import read_config
    from evoptim.genome import Genome
    from evoptim.integrity import check_integrity
    from evoptim.optim import EvolvedOptimizer
    from evoptim.verbs import (
        cancel,
        compile_pipeline,
        diagnose,
        export,
        logs,
        make_report,
        results,
        resume,
        search,
        show,
        status,
        submit,
        watch,
    )

__version__ = "0.1.0"

# Imported on first use: torch and kfp take seconds, and --help needs neither.
_HOMES = MappingProxyType(
    {
        "EvolvedOptimizer": "evoptim.optim",
        "Genome": "evoptim.genome",
        "check_integrity": "evoptim.integrity",
        "cancel": "evoptim.verbs",
        "compile_pipeline": "evoptim.verbs",
        "diagnose": "evoptim.verbs",
        "export": "evoptim.verbs",
        "logs": "evoptim.verbs",
        "preset": "evoptim.config",
        "read_config": "evoptim.config.reading",
        "make_report": "evoptim.verbs",
        "results": "evoptim.verbs",
        "resume": "evoptim.verbs",
        "search": "evoptim.verbs",
        "show": "evoptim.verbs",
        "status": "evoptim.verbs",
        "submit": "evoptim.verbs",
        "watch": "evoptim.verbs",
    }
)

__all__ = [
    "EvolvedOptimizer",
    "Genome",
    "cancel",
    "check_integrity",
    "compile_pipeline",
    "diagnose",
    "export",
    "logs",
    "make_report",
    "preset",
    "read_config",
    "results",
    "resume",
    "search",
    "show",
    "status",
    "submit",
    "watch",
    "zoo",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name == "zoo":
        return importlib.import_module("evoptim.zoo")
    raise AttributeError(f"module 'evoptim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
