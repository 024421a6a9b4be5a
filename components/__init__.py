"""Kubeflow Pipelines components: each is one call of the step function of the same name.

A component carries no logic of its own, so that KFP, Argo and an Indexed Job do the same work.
Their bodies import what they use, because KFP ships only the function's own source.
"""

from components.evaluate import evaluate
from components.evaluate_baselines import evaluate_baselines
from components.image import DEFAULT_IMAGE
from components.initialise import initialise
from components.propose import propose
from components.propose_baselines import propose_baselines
from components.report import report
from components.select import select

__all__ = [
    "DEFAULT_IMAGE",
    "evaluate",
    "evaluate_baselines",
    "initialise",
    "propose",
    "propose_baselines",
    "report",
    "select",
]
