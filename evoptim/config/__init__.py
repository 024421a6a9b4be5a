"""The configuration of a search: typed, frozen, checked before anything runs."""

from evoptim.config.finals import FinalsSpec
from evoptim.config.json_object import JsonObject
from evoptim.config.presets import PRESETS, preset
from evoptim.config.probabilities import (
    DecayMutation,
    DecaySampling,
    MutationProbabilities,
    SamplingProbabilities,
)
from evoptim.config.protocol import (
    FullTraining,
    ModelSpec,
    Protocol,
    ScheduleSpec,
    Sweep,
    TaskSpec,
)
from evoptim.config.run import BaselineName, RunConfig, SearchSpec
from evoptim.config.screens import Screens, TrialSpec
from evoptim.config.value import Value

__all__ = [
    "PRESETS",
    "BaselineName",
    "DecayMutation",
    "DecaySampling",
    "FinalsSpec",
    "FullTraining",
    "JsonObject",
    "ModelSpec",
    "MutationProbabilities",
    "Protocol",
    "RunConfig",
    "SamplingProbabilities",
    "ScheduleSpec",
    "Screens",
    "SearchSpec",
    "Sweep",
    "TaskSpec",
    "TrialSpec",
    "Value",
    "preset",
]
