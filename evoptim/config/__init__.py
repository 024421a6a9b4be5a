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
    Racing,
    ScheduleSpec,
    Sweep,
    TaskSpec,
    Tuning,
)
from evoptim.config.run import BaselineName, RunConfig, SearchSpec
from evoptim.config.screens import Hopeless, Screens, TrialSpec
from evoptim.config.value import Value

__all__ = [
    "PRESETS",
    "BaselineName",
    "DecayMutation",
    "DecaySampling",
    "FinalsSpec",
    "FullTraining",
    "Hopeless",
    "JsonObject",
    "ModelSpec",
    "MutationProbabilities",
    "Protocol",
    "Racing",
    "RunConfig",
    "SamplingProbabilities",
    "ScheduleSpec",
    "Screens",
    "SearchSpec",
    "Sweep",
    "TaskSpec",
    "TrialSpec",
    "Tuning",
    "Value",
    "preset",
]
