"""Searches handed over to a cluster's engine, followed there and ended there."""

from pipelines.submit.argo import ArgoEngine
from pipelines.submit.engine import Engine, EngineState, Package, Phase, Step
from pipelines.submit.kfp import KfpEngine
from pipelines.submit.record import Submission, Target, engine_name, last_submission, record

__all__ = [
    "ArgoEngine",
    "Engine",
    "EngineState",
    "KfpEngine",
    "Package",
    "Phase",
    "Step",
    "Submission",
    "Target",
    "engine_name",
    "last_submission",
    "record",
]
